"""Fields that clients send and no contract declares: found in raw lines, counted, never with their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec

from lakehouse.events import EVENTS

_NESTED = ("device", "context", "payload")


@cache
def _known(event_type: str) -> frozenset[str]:
    """Dotted paths that the contract of ``event_type`` has."""
    cls = EVENTS[event_type]
    paths = {"event_type", *cls.__struct_fields__}
    for field in msgspec.structs.fields(cls):
        if field.name in _NESTED:
            paths |= {f"{field.name}.{name}" for name in field.type.__struct_fields__}
    return frozenset(paths)


def unknown_fields(lines: Iterable[str]) -> tuple[int, Counter[str]]:
    """-> (lines looked at, "event_type: path (JSON type)" -> lines that have it) of accepted raw lines."""
    seen, found = 0, Counter()
    for line in lines:
        event = msgspec.json.decode(line)
        seen += 1
        known = _known(event["event_type"])
        for path, value in _paths(event):
            if path not in known:
                found[f"{event['event_type']}: {path} ({_kind(value)})"] += 1
    return seen, found


def _paths(event: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in event.items():
        yield name, value
        if name in _NESTED and isinstance(value, dict):
            yield from ((f"{name}.{inner}", v) for inner, v in value.items())


def _kind(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")
