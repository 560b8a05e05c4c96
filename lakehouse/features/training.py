"""The training use: every listen with what was known of its listener, track and moment just before it began.

A point-in-time join: values as of ``occurred_at`` of the listen, from events that were known strictly before it. What
is joined can be had from the online store at that moment, no more and no less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse.features.batch import CLOCK_SKEW
from lakehouse.features.context import CONTEXT, context_columns
from lakehouse.features.declare import FeatureView
from lakehouse.features.evaluate import TIME
from lakehouse.features.facts import KEYS, STREAMS, facts
from lakehouse.features.groups import ROW, at_questions, groups_for
from lakehouse.features.views import VIEWS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.lake import Lake

LABELS = ("skipped", "completion", "ms_played")
"""What happened then: of the listen itself, never to be learned from as a feature."""


def training_set(lake: Lake, events: DataFrame, views: Sequence[FeatureView] = VIEWS) -> DataFrame:
    """One row for each listen in ``events`` (rows of ``silver.listens``), features from all facts of the lake.

    -> event_id, user_key, track_id, occurred_at, LABELS, ``context__<name>`` and ``<view>__<feature>``.
    """
    from lakehouse.tables import get_table

    names = {source for view in views for source in view.sources} | {"silver.tracks"}
    tables = {name: lake.read(get_table(name)) for name in sorted(names)}
    rows = max(lake.state(get_table(name)).rows for name in names)
    return join_features(events, _recent(tables, events, views), views, rows)


def join_features(
    events: DataFrame, tables: Mapping[str, DataFrame], views: Sequence[FeatureView], rows: int
) -> DataFrame:
    """``training_set`` on frames: ``tables`` as ``facts`` wants them, ``rows``: about how many events they hold."""
    from pyspark.sql import functions as F

    # a number that the row keeps whatever is computed again, unlike monotonically_increasing_id
    listens = events.withColumn(ROW, F.xxhash64("event_id"))
    known = listens.join(tables["silver.tracks"].select("track_id", "artist_id", "genre"), "track_id", "left")
    keys = sorted({key for view in views for key in view.keys})
    asked = known.select(
        ROW, F.unix_millis("occurred_at").alias(TIME), *(F.expr(f"string({KEYS[key]})").alias(key) for key in keys)
    )
    context = [column.alias(f"context__{name}") for name, column in context_columns().items()]
    result = listens.select(ROW, "event_id", "user_key", "track_id", "occurred_at", *LABELS, *context)
    for first in dict.fromkeys(view.keys[0] for view in views):
        same = [view for view in views if view.keys[0] == first]
        values = at_questions(same, facts(tables, same), asked, groups_for(rows))
        result = result.join(values, ROW, "left")
    return result.select(
        "event_id", "user_key", "track_id", "occurred_at", *LABELS, *context_names(), *feature_names(views)
    )


def _recent(
    tables: Mapping[str, DataFrame], events: DataFrame, views: Sequence[FeatureView]
) -> Mapping[str, DataFrame]:
    """Without the files of days that count for none of ``events``."""
    first, last = events.selectExpr("to_date(min(occurred_at))", "to_date(max(occurred_at))").first()
    if first is None:
        return tables
    oldest = first - timedelta(milliseconds=max(view.horizon for view in views))
    result = dict(tables)
    for name in result.keys() & STREAMS.keys():
        if "event_date" in result[name].columns:
            result[name] = result[name].where(f"event_date BETWEEN DATE'{oldest}' AND DATE'{last}'")
        else:
            result[name] = result[name].where(f"landing_date >= DATE'{oldest - CLOCK_SKEW}'")
    return result


def feature_names(views: Sequence[FeatureView] = VIEWS) -> list[str]:
    """Columns of a training set that may be learned from, context apart."""
    return [f"{view.name}__{feature.name}" for view in views for feature in view.features]


def context_names() -> list[str]:
    """Columns of a training set that say what the event said of itself."""
    return [f"context__{name}" for name in CONTEXT]
