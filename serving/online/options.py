"""What the page at / offers to choose from: some listeners of the lake, devices, activities."""

from __future__ import annotations

from typing import get_args

from lakehouse import arrow
from lakehouse.arrow import TableMissing
from lakehouse.events import DeviceType
from lakehouse.settings import Settings
from lakehouse.tables.bronze import EVENTS

LISTENERS = 30
_EVENTS_READ = 20_000


def options(settings: Settings) -> dict[str, list[str]]:
    """Names to choose from; only devices where the lake has no events yet."""
    devices = [name for name in get_args(DeviceType) if name != "unknown"]
    try:
        rows = arrow.dataset(settings, EVENTS).head(_EVENTS_READ, columns=["user_id", "activity"])
    except TableMissing:
        return {"listeners": [], "devices": devices, "activities": []}
    listeners = dict.fromkeys(rows["user_id"].to_pylist())
    activities = sorted({name for name in rows["activity"].to_pylist() if name})
    return {"listeners": list(listeners)[:LISTENERS], "devices": devices, "activities": activities}
