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


ANSWER_HOURS = 24
"""A like or an addition to a playlist answers the latest play of the track if it comes within so many hours."""

OF_PLAYS = {
    "track_ids": "track_id",
    "occurred_at": "occurred_at",
    "sessions": "session",
    "local_hours": "local_hour",
    "local_weekdays": "local_weekday",
    "devices": "device_type",
    "activities": "activity",
    "networks": "network",
    "countries": "country",
    "weathers": "weather",
    "temperatures_c": "temperature_c",
    "completions": "completion",
    "skipped": "skipped",
    "liked": "liked",
    "added": "added",
}
"""Columns of gold.sequences that hold an entry a play -> the value in it."""


def sequences(listens: DataFrame, feedback: DataFrame) -> DataFrame:
    """One row per listener: plays in order of time, ties by event id.

    All that belongs to a listener meets in one shuffle by ``user_key``; sessions, answers and lists are made where it
    then lies.
    """
    from pyspark.sql import functions as F

    from lakehouse.refine.sessions import numbered

    plays = numbered(_answered(listens, feedback)).withColumn(
        "session", F.when(F.col("clock") == "event", (F.col("number") - 1).cast("int"))
    )
    of_play = [name for name in dict.fromkeys(OF_PLAYS.values()) if name != "occurred_at"]
    in_order = F.array_sort(F.collect_list(F.struct("occurred_at", "event_id", *of_play)))
    whole = plays.groupBy("user_key").agg(in_order.alias("p"), F.max("clock").alias("clock"))
    lists = [F.col(f"p.{value}").alias(name) for name, value in OF_PLAYS.items()]
    return whole.select("user_key", *lists, F.size("p").alias("plays"), "clock")


def _answered(listens: DataFrame, feedback: DataFrame) -> DataFrame:
    """The plays with ``liked`` and ``added``: did such an act on the track follow before its next play?"""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    acts = feedback.where(F.col("action").isin("like", "playlist_add"))
    told = {row.action for row in acts.select("action").distinct().collect()}
    acts = acts.select("user_key", "track_id", "occurred_at", "event_id", "action")
    rows = listens.unionByName(acts, allowMissingColumns=True).repartition("user_key")
    # Backwards in time, so that what follows is what was seen before; an act at the very start of a play follows it.
    later = (
        Window.partitionBy("user_key", "track_id")
        .orderBy(F.desc("occurred_at"), F.col("action").isNull(), F.desc("event_id"))
        .rowsBetween(Window.unboundedPreceding, -1)
    )

    def next_at(condition):
        return F.last(F.when(condition, F.col("occurred_at")), ignorenulls=True).over(later)

    def answered(action: str):
        by = F.least(F.col("next_play"), F.col("occurred_at") + F.expr(f"INTERVAL {ANSWER_HOURS} HOURS"))
        if action not in told:
            return F.lit(None).cast("boolean")
        return F.when(F.col("clock") == "event", F.coalesce(F.col(action) < by, F.lit(False)))

    names = {"liked": "like", "added": "playlist_add"}
    rows = rows.withColumns(
        {"next_play": next_at(F.col("action").isNull())}
        | {action: next_at(F.col("action") == action) for action in names.values()}
    )
    return rows.where("action IS NULL").withColumns({name: answered(action) for name, action in names.items()})
