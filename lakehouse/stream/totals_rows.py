"""The online rows of the running totals; their key is ``user_key``.

``as_of`` is the stream's clock when the row was made. A reader compares it, and the times in the row, with its own
clock; a row that nobody renewed expires by itself (a session after the gap that ends it, ads after their hour).
"""

from __future__ import annotations

from lakehouse.online.rows import Field, RowSchema
from lakehouse.refine.sessions import GAP_SECONDS

RECENT_PLAYS = 50
AD_SECONDS = 3600
AD_KINDS = {
    "ad_impression": "impressions",
    "ad_complete": "completions",
    "ad_skip": "skips",
    "ad_click": "clicks",
}

RECENT = RowSchema(
    "recent_plays",
    (
        Field("event_ids", "ids", size=RECENT_PLAYS),
        Field("track_ids", "ids", size=RECENT_PLAYS),
        Field("played_at", "int64", size=RECENT_PLAYS),
        Field("ms_played", "int64", size=RECENT_PLAYS, default=-1),
    ),
)
"""The last plays, newest first; ``played_at`` in seconds since 1970, 0 behind the last; ``ms_played`` -1: unknown."""

SESSION = RowSchema(
    "session_in_progress",
    (
        Field("in_progress", "int64"),
        Field("plays", "int64"),
        Field("skips", "int64"),
        Field("distinct_tracks", "int64"),
        Field("ms_played", "int64"),
        Field("started_at", "timestamp"),
        Field("heard_until", "timestamp"),
    ),
    ttl_seconds=GAP_SECONDS,
)
"""The session that goes on now; all zero between sessions."""

ADS = RowSchema(
    "ad_exposure",
    (
        *(Field(f"{name}_1h", "int64") for name in AD_KINDS.values()),
        Field("last_ad_at", "timestamp"),
    ),
    ttl_seconds=AD_SECONDS,
)
"""Ads of the hour before ``as_of``."""

SCHEMAS = (RECENT, SESSION, ADS)
