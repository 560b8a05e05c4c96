"""By Spark on a simulated lake: the batch tables, the training set and the stream give what the law gives."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from feature_law import differences, expected

from lakehouse.features import stream
from lakehouse.features.batch import EPOCH, as_of_table, newest_hour
from lakehouse.features.context import CONTEXT, context_of
from lakehouse.features.declare import FeatureView
from lakehouse.features.facts import KEYS, facts
from lakehouse.features.training import LABELS, context_names, feature_names, join_features, training_set
from lakehouse.features.views import TRACK_HOUR, USER_ADS, USER_PROFILE, VIEWS, get_view
from lakehouse.tables import get_table
from lakehouse.tables.features import FEATURE_TABLES
from lakehouse.tables.silver import ADS, LISTENS

SAMPLE = 12


def millis(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@pytest.fixture(scope="session")
def incoming(simulated) -> pa.Table:
    """Facts of all streams with the columns of all views."""
    return facts(simulated.tables, VIEWS).toArrow()


@pytest.fixture(scope="session")
def fact_rows(incoming) -> list[dict]:
    return incoming.to_pylist()


def of_view(view: FeatureView, fact_rows: list[dict]) -> list[dict]:
    """Facts with the keys of the view."""
    return [f for f in fact_rows if None not in (f[k] for k in view.keys)]


@pytest.fixture(scope="session")
def joined(simulated) -> pa.Table:
    """The training set of all listens."""
    return training_set(simulated.lake, simulated.lake.read(LISTENS)).toArrow()


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.name)
def test_batch_and_stream_give_what_the_law_says(view, simulated, incoming, fact_rows):
    """The stream gets micro-batches in any order."""
    rows = as_of_table(view, simulated.tables, simulated.as_of, rows=250_000).toArrow().to_pylist()
    mine = of_view(view, fact_rows)
    assert {millis(row["as_of"]) for row in rows} == {millis(simulated.as_of)}
    for row in random.Random(1).sample(rows, min(SAMPLE, len(rows))):
        wanted = expected(view, mine, tuple(row[k] for k in view.keys), millis(simulated.as_of))
        assert differences(view, {n: [v] for n, v in row.items()}, 0, wanted) == []
    for feature in view.features:
        if feature.size == 1 and feature.kind != "ids":  # the limits of its column in the contract
            values = [row[feature.name] for row in rows]
            assert feature.low is None or min(values) >= feature.low
            assert feature.high is None or max(values) <= feature.high

    order = random.Random(2).sample(range(len(incoming)), len(incoming))
    states: dict = {}
    for piece in (incoming.take(order[begin : begin + 2000]) for begin in range(0, len(order), 2000)):
        before = {key: states.get(key) for key in stream.keys_of(view, piece)}
        states |= stream.update(view, before, piece, simulated.as_of).states
    streamed = {tuple(r[k] for k in view.keys): r for r in stream.values(view, states, simulated.as_of).to_pylist()}
    for row in rows:
        found = {n: [v] for n, v in streamed.pop(tuple(row[k] for k in view.keys)).items()}
        assert differences(view, found, 0, row) == []
    # nothing counts of what the batch table leaves out
    assert [row for row in streamed.values() for f in view.features if row[f.name] != f.empty] == []


@pytest.mark.parametrize("view", [USER_PROFILE, TRACK_HOUR], ids=lambda v: v.name)
def test_the_table_of_a_view_is_written_by_its_contract(view, simulated):
    """Vectors, lists of ids, limits of Delta; and the online row has the same fields."""
    lake, table = simulated.lake, FEATURE_TABLES[view.name]
    for _ in range(2):
        lake.write(table, as_of_table(view, simulated.tables, simulated.as_of))
    rows = lake.read(table).toArrow().to_pylist()
    assert 0 < len(rows) == len({tuple(row[k] for k in view.keys) for row in rows})
    schema = view.row_schema()
    assert [*view.keys, "as_of", *(f.name for f in schema.fields)] == table.column_names == list(rows[0])
    assert all(len(rows[0][f.name]) == f.size for f in schema.fields if f.size > 1 and f.kind != "ids")


def test_a_training_set_has_the_values_of_just_before_each_listen(joined, simulated, fact_rows):
    assert joined.column_names == [
        "event_id", "user_key", "track_id", "occurred_at", *LABELS, *context_names(), *feature_names(),
    ]  # fmt: skip
    assert len(joined) == simulated.lake.read(LISTENS).count()
    rows = joined.take(random.Random(3).sample(range(len(joined)), SAMPLE)).to_pylist()
    listens = simulated.lake.read(LISTENS).toArrow().to_pylist()
    by_id = {row["event_id"]: row for row in listens}
    tracks = {r["track_id"]: r for r in simulated.lake.read(get_table("silver.tracks")).toArrow().to_pylist()}
    for row in rows:
        listen = by_id[row["event_id"]]
        of = {**listen, **{k: tracks[listen["track_id"]][k] for k in ("artist_id", "genre")}}
        of["hour_of_week"] = (of["local_weekday"] - 1) * 24 + of["local_hour"]
        for view in VIEWS:
            key = tuple(None if of[k] is None else str(of[k]) for k in view.keys)
            assert set(view.keys) <= set(KEYS)
            mine = of_view(view, fact_rows) if None not in key else []
            wanted = expected(view, mine, key, millis(row["occurred_at"]))
            found = {f.name: [row[f"{view.name}__{f.name}"]] for f in view.features}
            assert differences(view, found, 0, wanted) == []


def test_the_context_is_the_same_in_python_and_spark(joined, simulated):
    listens = {r["event_id"]: r for r in simulated.lake.read(LISTENS).toArrow().to_pylist()}
    for row in joined.to_pylist():
        assert {name: row[f"context__{name}"] for name in CONTEXT} == context_of(listens[row["event_id"]])


def test_a_planted_future_changes_no_training_value(joined, simulated, tmp_path):
    """Listens after a moment are lost, changed and joined by others; what was joined before it stays."""
    from pyspark.sql import functions as F

    lake = simulated.lake
    moment = simulated.as_of - timedelta(days=4)
    listens = lake.read(LISTENS)
    later = (F.col("received_at") >= F.lit(moment)) | (F.col("occurred_at") >= F.lit(moment))
    known = listens.where(~later & (F.col("occurred_at") + F.expr("make_dt_interval(0,0,0,ms_played/1000)") < moment))
    planted = (
        listens.where(later)
        .limit(200)
        .withColumns(
            {
                "event_id": F.concat(F.lit("planted-"), "event_id"),
                "occurred_at": F.lit(moment - timedelta(hours=1)),  # happened before, told after
                "event_date": F.lit((moment - timedelta(hours=1)).date()),
                "received_at": F.lit(moment),
                "skipped": F.lit(True),
            }
        )
    )
    views = [get_view(name) for name in ("user_profile", "user_session", "user_artist", "track_popularity")]
    changed = simulated.tables | {"silver.listens": known.unionByName(planted)}
    asked = listens.where(F.col("occurred_at") < F.lit(moment))
    again = join_features(asked, changed, views, 1).toArrow().sort_by("event_id")
    kept = joined.filter(pa.compute.less(joined["occurred_at"], moment)).sort_by("event_id")
    names = feature_names(views)
    assert len(again) == len(kept) > 300
    assert again.select(["event_id", *names]).to_pylist() == kept.select(["event_id", *names]).to_pylist()


def test_ads_are_facts_of_silver_and_count_by_hour(simulated):
    ads = simulated.lake.read(ADS)
    kinds = {row["event_type"]: row["count"] for row in ads.groupBy("event_type").count().collect()}
    assert (
        kinds["ad_request"] == kinds["ad_impression"] == sum(kinds[k] for k in ("ad_skip", "ad_complete", "ad_click"))
    )
    assert ads.where("ad_id IS NULL AND event_type <> 'ad_request' OR local_hour IS NULL").count() == 0
    rows = as_of_table(USER_ADS, simulated.tables, simulated.as_of).toPandas()
    assert rows["ads_30d"].sum() == kinds["ad_impression"]
    rates = rows[["ad_skip_rate_30d", "ad_completion_rate_30d", "ad_click_rate_30d"]].mul(rows["ads_30d"], axis=0)
    assert rates.sum().round().tolist() == [kinds["ad_skip"], kinds["ad_complete"], kinds["ad_click"]]


def test_no_events_give_an_empty_table(simulated):
    nothing = {name: frame.limit(0) for name, frame in simulated.tables.items()}
    as_of = newest_hour(nothing["silver.listens"], nothing["silver.ads"])
    assert as_of == EPOCH
    assert as_of_table(USER_PROFILE, nothing, as_of).count() == 0
