"""Listening sessions: a listener's plays without a gap of 30 minutes (the usual web-analytics inactivity rule)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

GAP_SECONDS = 30 * 60


def numbered(listens: DataFrame) -> DataFrame:
    """The listens with ``number``, the listener's session from 1, and ``end_s``, when the play ended (Unix seconds).

    The gap is measured from the end of one play (start + ms_played) to the next start.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    in_order = Window.partitionBy("user_key").orderBy("occurred_at", "event_id")
    seconds = F.coalesce(F.col("ms_played"), F.lit(0)) / 1000
    plays = listens.withColumn("end_s", F.col("occurred_at").cast("double") + seconds)
    heard_until = F.max("end_s").over(in_order.rowsBetween(Window.unboundedPreceding, -1))
    gap = F.col("occurred_at").cast("double") - heard_until
    plays = plays.withColumn("is_first", F.when(gap.isNull() | (gap > GAP_SECONDS), 1).otherwise(0))
    return plays.withColumn("number", F.sum("is_first").over(in_order)).drop("is_first")


def sessions(listens: DataFrame) -> DataFrame:
    """One row a session."""
    from pyspark.sql import functions as F

    grouped = (
        numbered(listens)
        .groupBy("user_key", "number")
        .agg(
            F.min("occurred_at").alias("started_at"),
            F.timestamp_seconds(F.max("end_s")).alias("ended_at"),
            F.count("*").alias("plays"),
            F.count_if(F.col("skipped")).alias("skips"),
            F.countDistinct("track_id").alias("distinct_tracks"),
            F.sum("ms_played").alias("ms_played"),
            F.min_by("device_type", "occurred_at").alias("device_type"),
            F.max("clock").alias("clock"),
        )
    )
    key = F.concat_ws("@", "user_key", F.date_format("started_at", "yyyyMMdd'T'HHmmss.SSS"))
    return grouped.withColumn("session_key", key)
