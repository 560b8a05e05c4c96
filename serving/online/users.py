"""All that is known of one listener, for requests of access: online features, history, profile, lists shown."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from lakehouse import arrow
from lakehouse.arrow import TableMissing
from lakehouse.online.rows import Row
from lakehouse.online.store import OnlineStoreError
from lakehouse.settings import Settings
from lakehouse.tables.bronze import EVENTS
from serving.listeners import find_listener
from serving.online.known import Listeners
from serving.online.shown import ShownLog

LISTS = 20
"""Lists shown that are told, latest first."""


class Features(msgspec.Struct):
    """A row of the online store; ``expired``: requests get the declared defaults instead of its counts."""

    as_of: datetime | None
    expired: bool
    values: dict[str, Any]


class Shown(msgspec.Struct):
    """One list of ``recommendation_shown``."""

    request_id: str | None
    occurred_at: datetime
    policy: str | None
    policy_version: str | None
    track_ids: list[str]


class User(msgspec.Struct):
    """missing: parts that could not be read, with the reason; what is not known is empty."""

    user_id: str
    user_key: str
    known: bool
    profile: dict[str, Any]
    history: list[str]
    features: dict[str, Features]
    recommendations: list[Shown]
    missing: dict[str, str]


def find_user(settings: Settings, listeners: Listeners, shown: ShownLog, user_id: str) -> User:
    """Reads lake and store: takes a while, not for an event loop. Never raises for what is not there."""
    missing: dict[str, str] = {}
    profile, history, features = {}, [], {}
    try:
        listener = find_listener(settings, user_id)
        profile, history = {k: v for k, v in listener.profile.items() if v is not None}, listener.history
    except (TableMissing, OSError) as error:
        missing["history"] = str(error)
    try:
        features = {view: _features(row) for view, row in listeners.rows(user_id).items()}
    except (OnlineStoreError, ValueError) as error:
        missing["features"] = str(error)
    lists = []
    try:
        lists = _logged(settings, listeners.key(user_id))
    except (TableMissing, OSError) as error:
        missing["recommendations"] = str(error)
    latest = shown.last(user_id)
    if latest is not None and latest.event_id not in {found.request_id for found in lists}:
        p = latest.payload
        lists.insert(0, Shown(p.request_id, latest.occurred_at, p.policy, p.policy_version, p.track_ids))
    known = bool(profile or history or features or lists)
    return User(user_id, listeners.key(user_id), known, profile, history, features, lists[:LISTS], missing)


def _features(row: Row) -> Features:
    expires = row.as_of is not None and row.expired
    return Features(row.as_of, expires, {name: _plain(value) for name, value in row.values.items()})


def _plain(value: Any) -> Any:
    """JSON has no NaN: what is not known is null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _logged(settings: Settings, user_key: str) -> list[Shown]:
    names = ["occurred_at", "policy", "policy_version", "track_ids"]
    columns = {"event_id": arrow.event_columns(["event_id"])["event_id"], **arrow.event_columns(names)}
    where = (arrow.text("user_key") == user_key) & (arrow.text("event_type") == "recommendation_shown")
    rows = arrow.dataset(settings, EVENTS).to_table(columns=columns, filter=where)
    rows = rows.sort_by([("occurred_at", "descending")]).slice(0, LISTS).to_pylist()
    return [
        Shown(r["event_id"], r["occurred_at"].replace(tzinfo=UTC), r["policy"], r["policy_version"], r["track_ids"])
        for r in rows
    ]
