"""Event facts of silver: listens and feedback, one row per event id whatever arrives twice, late or out of order."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from lakehouse.lake import KNOWN_IN

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

LOOKBACK_DAYS = 3
"""A skip and its play may land on different days; they find each other within this many days."""

_OF_A_PLAY = (
    *("user_key", "occurred_at", "clock", "utc_offset_min", "session_id", "device_type", "country", "activity"),
    *("network", "weather", "temperature_c", "playlist_type", "payload.track_id", "payload.ms_played"),
    *("payload.duration_ms", "payload.reason_start", "payload.reason_end"),
)
"""What a listen takes from its play: of two versions received at one time, these choose, and nothing else is read."""

_FEW_DAYS = 31

FEEDBACK_ACTIONS = ("like", "unlike", "playlist_add", "playlist_remove")


def listens(events: DataFrame, new: Column) -> DataFrame:
    """Listens that the ``new`` events make or change; the same for batch and stream.

    ``events`` are bronze events landed from LOOKBACK_DAYS before the new ones to as many after them, ``new`` tells
    which rows landed now. A listen is made from all that is known of it: of several versions of a play the one received
    last, and every skip of it, whatever landed first.
    """
    from pyspark.sql import functions as F

    plays, skips = events.where("event_type = 'play'"), events.where("event_type = 'skip'")
    skipped_id = F.col("payload.play_event_id").alias("event_id")
    if not plays.where(~new).isEmpty():  # a first load has nothing older, and reads bronze once
        touched = plays.where(new).select("event_id").unionByName(skips.where(new).select(skipped_id))
        plays = plays.where(new).unionByName(plays.where(~new).join(touched, "event_id", "left_semi"))
    ended = skips.groupBy(skipped_id).agg(
        F.max("received_at").alias("skip_received_at"), F.min("payload.position_ms").alias("skip_position_ms")
    )
    plays = _latest_versions(plays).join(ended, "event_id", "left")
    ms_played = F.coalesce("payload.ms_played", "skip_position_ms")
    skipped = (
        F.when(F.col("skip_received_at").isNotNull(), True)
        .when(F.col("payload.reason_end") == "fwdbtn", True)
        .when(F.col("payload.reason_end").isNotNull(), False)
    )
    local = local_time()
    return plays.select(
        "event_id",
        "user_key",
        F.col("payload.track_id").alias("track_id"),
        "occurred_at",
        F.to_date("occurred_at").alias("event_date"),
        F.greatest("received_at", "skip_received_at").alias("received_at"),
        "clock",
        F.hour(local).alias("local_hour"),
        (F.weekday(local) + 1).alias("local_weekday"),
        ms_played.alias("ms_played"),
        F.col("payload.duration_ms").alias("duration_ms"),
        F.when(F.col("payload.duration_ms") > 0, F.least(ms_played / F.col("payload.duration_ms"), F.lit(1.0))).alias(
            "completion"
        ),
        skipped.alias("skipped"),
        F.col("payload.reason_start").alias("reason_start"),
        F.col("payload.reason_end").alias("reason_end"),
        "session_id",
        F.nullif("device_type", F.lit("unknown")).alias("device_type"),
        "country",
        "activity",
        "network",
        "weather",
        "temperature_c",
        "playlist_type",
        KNOWN_IN,
    )


def _latest_versions(plays: DataFrame) -> DataFrame:
    """One row a play, and in KNOWN_IN the days from its earliest version to its latest: a correction may move it."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    same = Window.partitionBy("event_id")
    latest = same.orderBy(F.col("received_at").desc(), F.xxhash64(*_OF_A_PLAY))
    day = F.to_date("occurred_at")
    first, last = F.min(day).over(same), F.max(day).over(same)
    days = F.when(F.datediff(last, first) <= _FEW_DAYS, F.sequence(first, last)).otherwise(F.array(first, last))
    plays = plays.withColumns({KNOWN_IN: days, "_version": F.row_number().over(latest)})
    return plays.where("_version = 1")


def landed(days: tuple[date, date]) -> Column:
    """True for events that landed in ``days``, both included."""
    from pyspark.sql import functions as F

    return F.col("landing_date").between(*map(F.lit, days))


def local_time() -> Column:
    """Time at the listener's place (UTC where the offset is unknown); null for a synthetic clock, which has no time."""
    from pyspark.sql import functions as F

    offset = F.make_dt_interval(mins=F.coalesce("utc_offset_min", F.lit(0)))
    return F.when(F.col("clock") == "event", F.col("occurred_at") + offset)


def feedback(events: DataFrame) -> DataFrame:
    """Explicit acts among ``events``."""
    from pyspark.sql import functions as F

    acts = events.where(F.col("event_type").isin(*FEEDBACK_ACTIONS))
    return acts.select(
        "event_id",
        "user_key",
        F.col("payload.track_id").alias("track_id"),
        F.col("event_type").alias("action"),
        F.col("payload.playlist_id").alias("playlist_id"),
        "occurred_at",
        F.to_date("occurred_at").alias("event_date"),
        "received_at",
    )
