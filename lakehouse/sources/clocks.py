"""How a mapping reads times, and the synthetic clock of data that has none.

``timestamp: {column: c, format: iso | epoch_s | epoch_ms | <strptime pattern>, zone: Europe/Paris}``; ``zone`` (default
UTC) holds for times without one of their own. In the hour that a zone repeats in autumn, the first pass is meant.
``timestamp: synthetic``, or ``{synthetic: {base_day: 2020-01-01, seconds_per_play: 240}}``, takes the order of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lakehouse.sources.base import EPOCH
from lakehouse.sources.values import ValueProblem

if TYPE_CHECKING:
    from lakehouse.sources.mapping import MappingNode

BASE_DAY = date(2020, 1, 1)
SECONDS_PER_PLAY = 240.0  # 300 plays fit one day
_FORMATS = ("iso", "epoch_s", "epoch_ms")


@dataclass
class Clock:
    """``column`` is None for a synthetic clock."""

    column: str | None
    parse: Callable[[Any], datetime] | None
    base_day: date = BASE_DAY
    seconds_per_play: float = SECONDS_PER_PLAY

    def at(self, position: int) -> datetime:
        """Synthetic time of a listener's play number ``position``."""
        start = datetime(self.base_day.year, self.base_day.month, self.base_day.day, tzinfo=UTC)
        return start + timedelta(milliseconds=round(position * self.seconds_per_play * 1000))

    def read(self, row: dict[str, Any]) -> datetime:
        """Time of a row, UTC, whole milliseconds; raises ValueProblem."""
        value = row.get(self.column)
        if value is None or value == "":
            raise ValueProblem(f"column {self.column!r} has no time")
        try:
            return self.parse(value)
        except (ValueError, TypeError, OverflowError, OSError):
            raise ValueProblem(f"column {self.column!r} is not a time in the format of the mapping") from None


def time_parser(pattern: str, zone: tzinfo = UTC) -> Callable[[Any], datetime]:
    """From a value to a UTC datetime cut to milliseconds; raises ValueError, TypeError or OverflowError."""
    if pattern == "epoch_s":
        return lambda value: _from_epoch(value, 1000)
    if pattern == "epoch_ms":
        return lambda value: _from_epoch(value, 1)
    if pattern == "iso":
        return lambda value: _utc(value if isinstance(value, datetime) else datetime.fromisoformat(value.strip()), zone)
    return lambda value: _utc(datetime.strptime(value.strip(), pattern), zone)


def clock_from(node: MappingNode, columns: dict[str, MappingNode], synthetic: bool = False) -> Clock:
    """Check and build a clock; its column is added to ``columns``."""
    if synthetic and node.value == "synthetic":
        return Clock(None, None)
    if synthetic and isinstance(node.value, dict) and "synthetic" in node.value:
        node.table(("synthetic",))
        return _synthetic(node.child("synthetic"))
    table = node.table(("column", "format", "zone"), "{column: ..., format: iso}" + " or synthetic" * synthetic)
    for key in ("column", "format"):
        if key not in table:
            raise node.error(f"the key {key!r} is missing", "Write {column: played_at, format: iso, zone: UTC}")
    column, pattern = node.child("column").text(), node.child("format").text()
    if pattern not in _FORMATS and "%" not in pattern:
        raise node.child("format").error(
            f"is {pattern!r}", f"Use {', '.join(_FORMATS)}, or a strptime pattern like '%d/%m/%Y %H:%M'"
        )
    columns[column] = node
    return Clock(column, time_parser(pattern, _zone(node)))


def _synthetic(node: MappingNode) -> Clock:
    table = node.table(("base_day", "seconds_per_play"))
    day, seconds = table.get("base_day", BASE_DAY), table.get("seconds_per_play", SECONDS_PER_PLAY)
    if isinstance(day, datetime) or not isinstance(day, date):
        raise node.error(f"is {day!r}", "Write a date, like 2020-01-01", "base_day")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= 86_400:
        raise node.error(f"is {seconds!r}", "Write seconds above 0, like 240", "seconds_per_play")
    return Clock(None, None, day, float(seconds))


def _zone(node: MappingNode) -> tzinfo:
    if "zone" not in node.value:
        return UTC
    name = node.child("zone").text()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise node.child("zone").error(f"{name!r} is no time zone", "Use an IANA name, like Europe/Paris") from None


def _from_epoch(value: Any, to_ms: int) -> datetime:
    if isinstance(value, bool):
        raise TypeError("a truth value is no time")
    text = str(value).strip()
    try:
        millis = int(text) * to_ms
    except ValueError:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("not finite") from None
        millis = math.floor(round(number * to_ms, 3))
    return EPOCH + timedelta(milliseconds=millis)


def _utc(at: datetime, zone: tzinfo) -> datetime:
    at = (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
