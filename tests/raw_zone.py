"""Raw dumps for tests: a builder of files, and events as a source would write them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

DAY = date(2026, 1, 5)
"""A Monday."""


class RawZone:
    """Writes raw dumps of a lake; every method returns the file's path below the lake."""

    def __init__(self, lake: Path):
        self.lake = lake

    def write(self, path: str, content: bytes) -> str:
        """Any bytes at any path."""
        target = self.lake / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return path

    def events(
        self, lines: Iterable[Any], name: str = "a", day: date = DAY, hour: int = 12, compress: bool = True
    ) -> str:
        """``lines`` are dicts or the bytes of a line, as they are."""
        folder = f"raw/events/date={day}/hour={hour:02}"
        return self._lines(f"{folder}/{name}.jsonl", lines, compress)

    def entities(
        self, entity: str, lines: Iterable[Any], name: str = "a", day: date = DAY, compress: bool = True
    ) -> str:
        return self._lines(f"raw/{entity}/date={day}/{name}.jsonl", lines, compress)

    def _lines(self, path: str, lines: Iterable[Any], compress: bool) -> str:
        encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        content = b"".join(line + b"\n" for line in encoded)
        if compress:
            return self.write(path + ".gz", gzip.compress(content, mtime=0))
        return self.write(path, content)


def raw_event(
    kind: str = "play", *, event_id: str = "e1", at: str = "12:00:00", day: date = DAY, **fields: Any
) -> dict:
    """A raw event as a source would write it; ``fields`` replace or add to the envelope.

    ``at`` is the UTC time of ``day``; it is received a second later unless ``received_at`` says otherwise.
    """
    payloads = {
        "play": {"track_id": "t1"},
        "skip": {"track_id": "t1", "play_event_id": "e1", "position_ms": 5000},
        "playlist_add": {"track_id": "t1", "playlist_id": "p1"},
        "playlist_remove": {"track_id": "t1", "playlist_id": "p1"},
        "search": {"query": "blue"},
    }
    return {
        "event_id": event_id,
        "event_type": kind,
        "schema_version": 1,
        "user_id": "u1",
        "occurred_at": f"{day}T{at}Z",
        "received_at": f"{day}T{at}.999Z",
        "payload": payloads.get(kind, {"track_id": "t1"}),
        **fields,
    }
