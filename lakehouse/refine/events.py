"""Facts of silver: listens, feedback and ads, one row an event id whatever arrives twice, late or out of order."""

from __future__ import annotations

from lakehouse.refine.fact import APART, KNOWN_FROM, KNOWN_TO, Days, Fact, local

FEEDBACK_ACTIONS = ("like", "unlike", "playlist_add", "playlist_remove")
AD_EVENTS = ("ad_request", "ad_impression", "ad_complete", "ad_skip", "ad_click")

_CONTEXT = ("clock", "utc_offset_min", "session_id", "device_type", "country", "activity")
_LISTEN = (
    *("user_key", "occurred_at", *_CONTEXT, "network", "weather", "temperature_c", "playlist_type"),
    *("track_id", "ms_played", "duration_ms", "reason_start", "reason_end"),
)
_ACT = ("user_key", "track_id", "event_type", "playlist_id", "occurred_at")
_CHOICE = ("ad_id", "campaign_id", "ad_break_id", "placement", "position_ms", "propensity", "policy", "policy_version")
_AD = ("user_key", "event_type", *_CHOICE, "occurred_at", *_CONTEXT)

_LISTENS = f"""
    , ended AS (
        SELECT play_event_id, max(received_at) AS skip_received_at, min(position_ms) AS skip_position_ms
        FROM {{events}} WHERE event_type = 'skip' GROUP BY play_event_id
    ), listened AS (
        SELECT *, coalesce(ms_played, skip_position_ms) AS heard_ms
        FROM latest LEFT JOIN ended ON latest.event_id = ended.play_event_id
    )
    SELECT event_id, user_key, track_id, occurred_at, event_date,
        greatest(received_at, skip_received_at) AS received_at, clock,
        {local("hour")} AS local_hour,
        {local("weekday")} AS local_weekday,
        heard_ms AS ms_played, duration_ms,
        CASE WHEN duration_ms > 0 THEN least(heard_ms / duration_ms, CAST(1 AS DOUBLE)) END AS completion,
        CASE WHEN skip_received_at IS NOT NULL OR reason_end = 'fwdbtn' THEN true
            WHEN reason_end IS NOT NULL THEN false END AS skipped,
        reason_start, reason_end, session_id, nullif(device_type, 'unknown') AS device_type, country, activity,
        network, weather, temperature_c, playlist_type, {KNOWN_FROM}, {KNOWN_TO}, {APART}
    FROM listened"""

_FEEDBACK = f"""
    SELECT event_id, user_key, track_id, event_type AS action, playlist_id, occurred_at, event_date, received_at,
        {KNOWN_FROM}, {KNOWN_TO}, {APART}
    FROM latest"""

_ADS = f"""
    SELECT event_id, event_type, user_key, {", ".join(_CHOICE)}, occurred_at, event_date, received_at, clock,
        {local("hour")} AS local_hour,
        {local("weekday")} AS local_weekday,
        session_id, nullif(device_type, 'unknown') AS device_type, country, activity, {KNOWN_FROM}, {KNOWN_TO}, {APART}
    FROM latest"""


def listens(days: Days | None = None) -> Fact:
    """Listens that the events landed in ``days`` make or change: a play, and every skip of it whatever landed first."""
    return Fact(("play",), _LISTEN, _LISTENS, days, also={"skip": "play_event_id"}, also_reads=("position_ms",))


def feedback(days: Days | None = None) -> Fact:
    """Explicit acts among the events landed in ``days``."""
    return Fact(FEEDBACK_ACTIONS, _ACT, _FEEDBACK, days)


def ads(days: Days | None = None) -> Fact:
    """Ad requests, impressions and what came of them, with the logged choice that off-policy evaluation needs."""
    return Fact(AD_EVENTS, _AD, _ADS, days)
