"""How a stream is doing: one record a micro-batch, as a file of the latest and a log of all (JSON lines).

Both lie in ``<state>/streams/``: ``<stream>.json`` and ``<stream>.jsonl``, whose older part is ``<stream>.1.jsonl``.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.settings import Settings

_LOG_BYTES = 8 << 20


@dataclass(frozen=True)
class Progress:
    """``behind_*``: records of the broker (or landed files) that wait, and how long the oldest of them can have waited
    at most; ``rate``: records a second while the batch ran; ``late``: events behind the watermark when they came.
    """

    stream: str
    state: str  # starting, running, waiting, stopped or failed
    at: str
    pid: int
    batch: int = -1
    records: int = 0
    bad: int = 0
    late: int = 0
    rate: float = 0.0
    batch_seconds: float = 0.0
    behind_records: int = 0
    behind_seconds: float = 0.0
    clock: str | None = None
    watermark: str | None = None
    active_listeners: int = 0
    ended_sessions: int = 0
    online_rows: int = 0
    online_waiting: int = 0
    total_records: int = 0
    total_bad: int = 0
    total_late: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    landed: tuple[str, ...] = ()
    message: str = ""

    def line(self) -> str:
        """One line for a terminal."""
        if self.state != "running" or self.message:
            return f"{self.stream}: {self.state}" + (f" · {self.message}" if self.message else "")
        parts = [
            f"batch {self.batch}: {self.records:,} records in {self.batch_seconds:.1f} s ({self.rate:,.0f}/s)",
            f"behind {self.behind_records:,} ({self.behind_seconds:.0f} s)",
            f"bad {self.bad:,}, late {self.late:,}",
            f"watermark {self.watermark[:19] if self.watermark else '-'}",
            f"{self.active_listeners:,} listeners active",
        ]
        return f"{self.stream} · " + " · ".join(parts)


class ProgressFiles:
    """Where the progress of one stream is written and read."""

    def __init__(self, settings: Settings, stream: str):
        self.folder = streams_folder(settings)
        self._latest, self._log = self.folder / f"{stream}.json", self.folder / f"{stream}.jsonl"
        self._older = self.folder / f"{stream}.1.jsonl"

    def write(self, progress: Progress) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(progress))
        temporary = self._latest.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(text)
        os.replace(temporary, self._latest)
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            os.replace(self._log, self._older)
        with self._log.open("a") as log:
            log.write(text + "\n")


def streams_folder(settings: Settings) -> Path:
    return settings.state_dir / "streams"


def read_progress(settings: Settings) -> list[Progress]:
    """The latest of every stream of this lake that ran on this machine, by name."""
    found = []
    for path in sorted(streams_folder(settings).glob("*.json")):
        entries: dict[str, Any] = json.loads(path.read_text())
        known = Progress.__dataclass_fields__
        found.append(Progress(**{name: value for name, value in entries.items() if name in known}))
    return found


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
