"""Ad facts of silver: one row per ad event, with the logged choice that off-policy evaluation needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.refine.events import local_time

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

AD_EVENTS = ("ad_request", "ad_impression", "ad_complete", "ad_skip", "ad_click")
_CHOICE = ("ad_id", "campaign_id", "ad_break_id", "placement", "position_ms", "propensity", "policy", "policy_version")


def in_context(events: DataFrame, *payload: str) -> DataFrame:
    """Bronze events by name of type, with where and when the listener was; ``payload`` fields beside them.

    ``track_id`` is always there, null for events that have none; local times are null for a synthetic clock.
    """
    from pyspark.sql import functions as F

    local = local_time()
    return events.select(
        "event_id",
        "event_type",
        "user_key",
        F.col("payload.track_id").alias("track_id"),
        *(F.col(f"payload.{name}").alias(name) for name in payload),
        "occurred_at",
        F.to_date("occurred_at").alias("event_date"),
        "received_at",
        "clock",
        F.hour(local).alias("local_hour"),
        (F.weekday(local) + 1).alias("local_weekday"),
        "session_id",
        F.nullif("device_type", F.lit("unknown")).alias("device_type"),
        "country",
        "activity",
    )


def ads(events: DataFrame) -> DataFrame:
    """Ad requests, impressions and what came of them, among ``events``."""
    from pyspark.sql import functions as F

    shown = in_context(events.where(F.col("event_type").isin(*AD_EVENTS)), *_CHOICE)
    return shown.drop("track_id")
