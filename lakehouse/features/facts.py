"""From tables to facts: the one way in for training, batch and stream. Spark, no Python in the rows.

A fact is a version of an event with the keys and the measures that features sum. Fractions are whole numbers of 2^-20
(``formulas.UNIT``), so that every sum is exact. A measure that says nothing is 0, a key that is not known is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from lakehouse.acoustic import ACOUSTIC
from lakehouse.features.evaluate import EVENT_COLUMNS, fact_columns
from lakehouse.features.formulas import UNIT
from lakehouse.refine.events import FEEDBACK_ACTIONS
from lakehouse.refine.fact import local

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.features.declare import FeatureView

KEYS = {
    "user_key": "user_key",
    "track_id": "track_id",
    "artist_id": "artist_id",
    "genre": "genre",
    "country": "country",
    "activity": "activity",
    "device_type": "device_type",
    "local_hour": "local_hour",
    "hour_of_week": "(local_weekday - 1) * 24 + local_hour",
}
"""Columns that entities are made of, as SQL over a stream's columns; all are text in the facts."""

_HAS_ACOUSTICS = " AND ".join(f"{name} IS NOT NULL" for name in ACOUSTIC)
_PLAY = {
    "plays": "1",
    "skips": "skipped",
    "skips_known": "skipped IS NOT NULL",
    "completion": f"round(completion * {UNIT})",
    "completion_known": "completion IS NOT NULL",
    "ms_played": "ms_played",
    "acoustic_known": _HAS_ACOUSTICS,
    **{
        f"acoustic_{name}": f"if({_HAS_ACOUSTICS}, round(({name} - {low}) / {high - low} * {UNIT}), 0)"
        for name, (low, high, _) in ACOUSTIC.items()
    },
}
_ACT = {
    "likes": "event_type = 'like'",
    "playlist_adds": "event_type = 'playlist_add'",
}
_ADS = {"impressions": "ad_impression", "completes": "ad_complete", "skips": "ad_skip", "clicks": "ad_click"}
_AD = {f"ad_{name}": f"event_type = '{kind}'" for name, kind in _ADS.items()}

STREAMS: dict[str, dict[str, str]] = {"silver.listens": _PLAY, "bronze.events": _ACT, "silver.ads": _AD}
"""Table of events -> measure -> SQL over its columns and those of silver.tracks.

Likes and playlist acts come from bronze: silver.feedback does not say where and on what they were made.
"""

_TRACK_COLUMNS = ("artist_id", "genre", *ACOUSTIC)
_OPTIONAL = ("track_id", *_TRACK_COLUMNS, "country", "activity", "device_type", "local_hour", "local_weekday")


def facts(tables: Mapping[str, DataFrame], views: Sequence[FeatureView]) -> DataFrame:
    """Facts of the streams that ``views`` read, with the columns they need.

    ``tables``: name -> frame, of ``silver.tracks`` and of those tables in STREAMS that the views name in ``sources``.
    """
    wanted = {source for view in views for source in view.sources}
    columns = fact_columns(views)
    frames = [_stream(name, tables[name], tables["silver.tracks"], columns) for name in STREAMS if name in wanted]
    return reduce(lambda one, other: one.unionByName(other), frames)


def _stream(name: str, events: DataFrame, tracks: DataFrame, columns: Sequence[str]) -> DataFrame:
    from pyspark.sql import functions as F

    if name == "bronze.events":
        events = _acts(events)
    if "track_id" in events.columns:
        events = events.join(tracks.select("track_id", *_TRACK_COLUMNS), "track_id", "left")
    events = events.select("*", *(F.lit(None).alias(c) for c in _OPTIONAL if c not in events.columns))

    def column(wanted: str) -> Column:
        if wanted in KEYS:
            return F.expr(f"string({KEYS[wanted]})").alias(wanted)
        return F.expr(f"coalesce(bigint({STREAMS[name].get(wanted, '0')}), 0L)").alias(wanted)

    return events.select(*_moments(events), *(column(c) for c in columns if c not in EVENT_COLUMNS))


def _acts(events: DataFrame) -> DataFrame:
    """Explicit acts of bronze.events, with where and when the listener was."""
    from pyspark.sql import functions as F

    return events.where(F.col("event_type").isin(*FEEDBACK_ACTIONS)).select(
        *("event_id", "event_type", "user_key", "occurred_at", "received_at", "country", "activity"),
        F.col("payload.track_id").alias("track_id"),
        F.expr(local("hour")).alias("local_hour"),
        F.expr(local("weekday")).alias("local_weekday"),
        F.nullif("device_type", F.lit("unknown")).alias("device_type"),
    )


def _moments(events: DataFrame) -> list[Column]:
    """A play tells how it ended when it has ended, whatever a source without a receiving clock says."""
    from pyspark.sql import functions as F

    occurred = F.unix_millis("occurred_at")
    ended = occurred + F.coalesce("ms_played", F.lit(0)) if "ms_played" in events.columns else occurred
    return [
        F.xxhash64("event_id").alias("event_number"),
        occurred.alias("occurred_ms"),
        F.greatest(F.unix_millis("received_at"), ended).alias("known_ms"),
    ]
