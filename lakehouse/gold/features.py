"""Summaries of listeners and tracks over the whole lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TREND_DAYS = 7


def _rate(flag: str):
    """Share of true among the rows that say either; null when none does."""
    from pyspark.sql import functions as F

    return F.avg(F.col(flag).cast("double"))


def user_features(listens: DataFrame, feedback: DataFrame, sessions: DataFrame, tracks: DataFrame) -> DataFrame:
    """How much, how, when and what each listener hears."""
    from pyspark.sql import functions as F

    plays = listens.join(tracks.select("track_id", "artist_id", "genre"), "track_id", "left")
    features = plays.groupBy("user_key").agg(
        F.count("*").alias("plays"),
        F.countDistinct("track_id").alias("distinct_tracks"),
        F.countDistinct("artist_id").alias("distinct_artists"),
        _rate("skipped").alias("skip_rate"),
        F.avg("completion").alias("completion"),
        F.mode("artist_id", True).alias("top_artist_id"),
        F.mode("genre", True).alias("top_genre"),
        F.mode("device_type", True).alias("main_device"),
        F.min("occurred_at").alias("first_at"),
        F.max("occurred_at").alias("last_at"),
    )
    likes = feedback.where("action = 'like'").groupBy("user_key").agg(F.count("*").alias("likes"))
    number = sessions.groupBy("user_key").agg(F.count("*").alias("sessions"))
    joined = features.join(likes, "user_key", "left").join(number, "user_key", "left")
    repeat = (F.col("plays") - F.col("distinct_tracks")) / F.col("plays")
    return joined.withColumn("repeat_rate", repeat).na.fill(0, ["likes", "sessions"])


def track_features(listens: DataFrame, feedback: DataFrame, tracks: DataFrame) -> DataFrame:
    """What each track is and how it is heard; tracks that nobody played are in it too."""
    from pyspark.sql import functions as F

    newest = listens.agg(F.max("occurred_at").alias("newest"))
    recent = F.col("occurred_at") > F.col("newest") - F.expr(f"INTERVAL {TREND_DAYS} DAYS")
    heard = (
        listens.crossJoin(F.broadcast(newest))
        .groupBy("track_id")
        .agg(
            F.count("*").alias("plays"),
            F.countDistinct("user_key").alias("listeners"),
            _rate("skipped").alias("skip_rate"),
            F.count_if(recent).alias("plays_last_7d"),
            F.min("occurred_at").alias("first_seen"),
            F.max("occurred_at").alias("last_seen"),
        )
    )
    likes = feedback.where("action = 'like'").groupBy("track_id").agg(F.count("*").alias("likes"))
    joined = tracks.join(heard, "track_id", "left").join(likes, "track_id", "left")
    return joined.na.fill(0, ["plays", "listeners", "likes", "plays_last_7d"])
