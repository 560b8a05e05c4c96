"""Facts of silver: Spark and DuckDB make the same rows of the same events, and write the same table."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from raw_zone import DAY, raw_event

from lakehouse import arrow, in_process, small_merge
from lakehouse.ingest import ingest
from lakehouse.refine.by_spark import frame
from lakehouse.refine.events import AD_EVENTS, FEEDBACK_ACTIONS, ads, feedback, listens
from lakehouse.refine.fact import KNOWN_FROM, LOOKBACK_DAYS
from lakehouse.tables.bronze import PAYLOAD_FIELDS
from lakehouse.tables.silver import ADS, FEEDBACK, LISTENS

FACTS = {LISTENS: listens, FEEDBACK: feedback, ADS: ads}
DAYS = (DAY, DAY + timedelta(1))
TEXTS = (None, "", "a", "b", "é", "東", "z" * 40)


def drawn(seed: int, rows: int) -> pa.Table:
    """Random events, many of them versions of one another, some received at one time."""
    dice = random.Random(seed)

    def moment(spread_days: int) -> datetime:
        second = dice.choice([dice.randrange(86_400), 86_399])
        micros = dice.choice([0, 999_999, dice.randrange(1_000_000)])
        day = dice.randrange(-spread_days, spread_days + 1)
        return datetime.combine(DAY, datetime.min.time(), UTC) + timedelta(
            days=day, seconds=second, microseconds=micros
        )

    received = [moment(3) for _ in range(8)]
    columns: dict[str, list] = {}
    for number in range(rows):
        kind = dice.choice(["play", "play", "skip", "search", *FEEDBACK_ACTIONS, *AD_EVENTS])
        event = {
            "event_id": f"{dice.randrange(rows // 3)}",
            "event_type": kind,
            "landing_date": DAY + timedelta(dice.randrange(-LOOKBACK_DAYS, LOOKBACK_DAYS + 1)),
            "occurred_at": moment(dice.choice([1, 1, 60])),
            "received_at": dice.choice([*received, moment(3)]),
            "user_key": dice.choice("uv"),
            "clock": dice.choice(["event", "event", "synthetic"]),
            "utc_offset_min": dice.choice([None, 0, 345, -840, 840, -60]),
            "temperature_c": dice.choice([None, -1.5, 0.0, 20.25]),
            "device_type": dice.choice(["unknown", "phone", "car"]),
            "track_id": dice.choice(["t1", "t2"]),
            "play_event_id": f"{dice.randrange(rows // 3)}" if kind == "skip" else None,
            "reason_end": dice.choice([None, "fwdbtn", "trackdone"]),
            **{name: dice.choice([None, 0, 1, 7, number]) for name in ("ms_played", "duration_ms", "position_ms")},
            **{name: dice.choice(["p", "q"]) for name in ("policy", "policy_version")},
            "propensity": dice.choice([0.1, 1 / 3, 1.0]),
            **{
                name: dice.choice(TEXTS)
                for name in ("session_id", "country", "activity", "network", "weather", "playlist_type", "playlist_id")
            },
            **{
                name: dice.choice(TEXTS)
                for name in ("reason_start", "ad_id", "campaign_id", "ad_break_id", "placement")
            },
        }
        for name, value in event.items():
            columns.setdefault(name, []).append(value)
    types = {
        "occurred_at": pa.timestamp("us", "UTC"),
        "received_at": pa.timestamp("us", "UTC"),
        "landing_date": pa.date32(),
    }
    types |= {"utc_offset_min": pa.int32(), **dict.fromkeys(("ms_played", "duration_ms", "position_ms"), pa.int64())}
    return pa.table({name: pa.array(values, types.get(name)) for name, values in columns.items()})


def rows_of(table: pa.Table) -> list[dict]:
    return sorted(table.to_pylist(), key=lambda row: row["event_id"])


def in_this_process(settings, fact) -> list[dict]:
    with in_process.rows(settings, fact) as rows:
        return rows_of(rows.read_all())


@examples(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), all_days=st.booleans(), table=st.sampled_from(list(FACTS)))
def test_both_make_the_same_rows(lake, seed, all_days, table):
    events = drawn(seed, 400)
    fact = FACTS[table](None if all_days else DAYS).over(events)
    ours = in_this_process(lake.settings, fact)
    assert ours == rows_of(lake.frame(fact).toArrow())
    assert len(ours) > 5
    assert {*table.column_names, KNOWN_FROM} < set(ours[0])
    assert len({row["event_id"] for row in ours}) == len(ours)


def test_local_time_to_the_microsecond(lake):
    """The last microsecond of an hour belongs to it, in every hour of many years."""
    start = datetime(2000, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(hours=1009 * n) + timedelta(microseconds=d) for n in range(300) for d in (-1, 0)]
    events = pa.table(
        {
            **{name: pa.nulls(len(moments), pa.string()) for name in listens().columns},
            "event_id": [str(n) for n in range(len(moments))],
            "event_type": ["play"] * len(moments),
            "clock": ["event"] * len(moments),
            **{name: pa.array(moments, pa.timestamp("us", "UTC")) for name in ("occurred_at", "received_at")},
            **{name: pa.nulls(len(moments), pa.int64()) for name in ("ms_played", "duration_ms", "position_ms")},
            "utc_offset_min": pa.nulls(len(moments), pa.int32()),
            "temperature_c": pa.nulls(len(moments), pa.float64()),
            "landing_date": pa.nulls(len(moments), pa.date32()),
        }
    )
    fact = listens().over(events)
    expected = {str(n): (m.hour, m.isoweekday()) for n, m in enumerate(moments)}
    for rows in (in_this_process(lake.settings, fact), rows_of(lake.frame(fact).toArrow())):
        assert {row["event_id"]: (row["local_hour"], row["local_weekday"]) for row in rows} == expected


@pytest.fixture
def bronze(lake, raw):
    """Three days of bronze: versions and skips of one play on all of them."""
    for number in range(3):
        day = DAY + timedelta(number)
        lines = [raw_event(event_id=f"p{n}", day=day, payload={"track_id": f"t{number}"}) for n in range(6)]
        skip = {"track_id": "t0", "play_event_id": f"p{number}", "position_ms": 5}
        raw.events([*lines, raw_event("skip", event_id=f"s{number}", day=day, payload=skip)], day=day)
        raw.events([raw_event("like", event_id="l", day=day)], name="likes", day=day)
    ingest(lake, (DAY, DAY + timedelta(2)))
    return lake


def content(lake, table) -> list[dict]:
    return rows_of(arrow.read(lake.settings, table))


@pytest.mark.parametrize("table", [LISTENS, FEEDBACK], ids=lambda table: table.name)
@pytest.mark.parametrize("way", ["spark", "too many rows", "here"])
def test_the_table_is_the_same_whoever_makes_it(bronze, monkeypatch, table, way):
    if way == "spark":
        bronze.settings.spark_above_mb = 0
        monkeypatch.setattr(in_process, "rows", None)
    elif way == "too many rows":
        monkeypatch.setattr(small_merge, "FACT_ROWS", 2)
    for day in (DAY + timedelta(1), DAY, DAY + timedelta(2), DAY):
        result = bronze.write(table, FACTS[table]((day, day)))
    assert not result.inserted
    rows = content(bronze, table)
    if table is FEEDBACK:
        assert [(row["event_id"], row["event_date"]) for row in rows] == [("l", DAY + timedelta(2))]
    else:
        found = [(row["event_id"], row["track_id"], row["skipped"]) for row in rows]
        assert found == [(f"p{n}", "t2", True if n < 3 else None) for n in range(6)]


@pytest.mark.parametrize("way", ["spark", "here"])
def test_versions_that_landed_far_apart_are_one_row_when_they_are_seen_together(lake, raw, way):
    """A week lies between an event and its correction to another day: a row each, until a run sees both."""
    late, moved = DAY + timedelta(7), DAY - timedelta(1)
    for day, occurred, track in ((DAY, DAY, "wrong"), (late, moved, "right")):
        line = {**raw_event(event_id="p", day=day, payload={"track_id": track}), "occurred_at": f"{occurred}T12:00:00Z"}
        raw.events([line, raw_event(event_id=f"other-{day}", day=day)], day=day)
    ingest(lake, (DAY, late))
    if way == "spark":
        lake.settings.spark_above_mb = 0
    for days in ((DAY, DAY), (late, late)):
        lake.write(LISTENS, listens(days))
    assert [row["event_id"] for row in content(lake, LISTENS)].count("p") == 2
    for _ in range(2):
        lake.write(LISTENS, listens((DAY, late)))
        found = [(row["event_id"], row["event_date"], row["track_id"]) for row in content(lake, LISTENS)]
        assert found == [(f"other-{DAY}", DAY, "t1"), (f"other-{late}", late, "t1"), ("p", moved, "right")]


def test_what_does_not_fit_into_memory_is_left_to_spark(lake):
    part = drawn(3, 2_000)
    events = pa.concat_tables(
        part.set_column(0, "event_id", pa.array([f"{n}-{id_}" for id_ in part["event_id"].to_pylist()]))
        for n in range(100)
    )
    expected = len(in_this_process(lake.settings, feedback().over(part)))
    lake.settings.in_process_memory = "5MB"
    fact = feedback().over(events)
    with pytest.raises(in_process.TooMuch):
        in_this_process(lake.settings, fact)
    lake.write(FEEDBACK, fact)
    assert lake.state(FEEDBACK).rows == 100 * expected
    assert not list((lake.settings.state_dir / "tmp").iterdir())


def test_nothing_landed_makes_no_version(bronze):
    before = bronze.state(ADS).version
    assert not bronze.write(ADS, ads(DAYS)).changed
    assert bronze.state(ADS).version == before


def test_a_row_against_the_contract_is_refused_with_the_rule(lake):
    events = drawn(1, 60)
    broken = events.set_column(
        events.schema.get_field_index("ms_played"), "ms_played", pa.array([-5] * len(events), pa.int64())
    )
    with pytest.raises(Exception, match="(?i)ms_played_valid"):
        lake.write(LISTENS, listens().over(broken))
    assert lake.state(LISTENS).rows == 0


def test_a_first_load_gives_way_to_one_that_was_faster(lake, monkeypatch):
    """Another process fills the table between the look at it and the commit."""
    events, real = drawn(2, 60), small_merge.load_first

    def beaten(target, rows, table):
        monkeypatch.undo()
        lake.write(LISTENS, listens().over(events))
        return real(target, rows, table)

    monkeypatch.setattr(small_merge, "load_first", beaten)
    lake.write(LISTENS, listens().over(events))
    assert content(lake, LISTENS) == [
        {name: row[name] for name in LISTENS.column_names}
        for row in in_this_process(lake.settings, listens().over(events))
    ]


def test_a_frame_of_bronze_may_have_its_payload_inside(bronze):
    nested = bronze.read(in_process.EVENTS)
    fact = listens((DAY, DAY + timedelta(2)))
    with in_process.rows(bronze.settings, fact) as rows:
        assert rows_of(rows.read_all()) == rows_of(frame(fact, nested, only_new=True).toArrow())
    assert {"track_id", "ms_played"} <= set(PAYLOAD_FIELDS)
