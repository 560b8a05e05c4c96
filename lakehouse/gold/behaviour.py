"""What listeners did: pairs of listener and track, and whole histories in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def interactions(listens: DataFrame, feedback: DataFrame) -> DataFrame:
    """One row per listener and track that has a play or an explicit act."""
    from pyspark.sql import functions as F

    pair = ["user_key", "track_id"]
    heard = listens.groupBy(*pair).agg(
        F.count("*").alias("plays"),
        F.count_if(F.col("skipped")).alias("skips"),
        F.avg("completion").alias("completion"),
        F.min("occurred_at").alias("first_play"),
        F.max("occurred_at").alias("last_play"),
    )
    is_like = F.col("action").isin("like", "unlike")
    when_liked = F.when(is_like, F.struct("occurred_at", "event_id"))
    acts = feedback.groupBy(*pair).agg(
        F.max_by(F.when(is_like, F.col("action") == "like"), when_liked).alias("liked"),
        (F.count_if(F.col("action") == "playlist_add") - F.count_if(F.col("action") == "playlist_remove")).alias(
            "adds"
        ),
        F.min("occurred_at").alias("first_act"),
        F.max("occurred_at").alias("last_act"),
    )
    return heard.join(acts, pair, "full").select(
        *pair,
        F.coalesce("plays", F.lit(0)).alias("plays"),
        F.coalesce("skips", F.lit(0)).alias("skips"),
        "completion",
        F.coalesce("liked", F.lit(False)).alias("liked"),
        F.greatest(F.coalesce("adds", F.lit(0)), F.lit(0)).alias("playlist_adds"),
        F.least("first_play", "first_act").alias("first_at"),
        F.greatest("last_play", "last_act").alias("last_at"),
    )


def sequences(listens: DataFrame) -> DataFrame:
    """One row per listener: plays in order of time, ties by event id."""
    from pyspark.sql import functions as F

    play = F.struct("occurred_at", "event_id", "track_id", "local_hour", "device_type")
    whole = listens.groupBy("user_key").agg(
        F.array_sort(F.collect_list(play)).alias("p"), F.max("clock").alias("clock")
    )
    return whole.select(
        "user_key",
        F.col("p.track_id").alias("track_ids"),
        F.col("p.occurred_at").alias("occurred_at"),
        F.col("p.local_hour").alias("local_hours"),
        F.col("p.device_type").alias("devices"),
        F.size("p").alias("plays"),
        "clock",
    )
