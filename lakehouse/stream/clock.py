"""The clock of a stream: how far event time has come, and the watermark behind it.

Events come late; none is refused for that. The watermark says how long running state waits for them: a session whose
last sign of life lies a gap before it is closed, and its state is let go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from lakehouse.storage import Storage

DELAY = timedelta(minutes=10)


@dataclass(frozen=True)
class Clock:
    """``at``: the latest event time seen, None before the first event; it never goes back."""

    at: datetime | None = None
    delay: timedelta = DELAY

    @property
    def watermark(self) -> datetime | None:
        return None if self.at is None else self.at - self.delay

    def advance(self, to: datetime | None) -> Clock:
        """``to``: an event time, at most the moment the event arrived, so that one wrong clock can't move ours."""
        if to is None or (self.at is not None and to <= self.at):
            return self
        return Clock(to, self.delay)


class ClockLog:
    """The clock after the last two batches, in the stream's checkpoint: a repeated batch starts from the same."""

    def __init__(self, storage: Storage, folder: str, delay: timedelta = DELAY):
        self._storage, self._path, self._delay = storage, f"{folder}/clock.json", delay

    def before(self, batch: int) -> Clock:
        """The clock as it stood when ``batch`` began for the first time."""
        earlier = {n: at for n, at in self._read().items() if n < batch}
        return Clock(earlier[max(earlier)], self._delay) if earlier else Clock(None, self._delay)

    def latest(self) -> Clock:
        """The clock after the last batch that was written."""
        entries = self._read()
        return Clock(entries[max(entries)], self._delay) if entries else Clock(None, self._delay)

    def save(self, batch: int, clock: Clock) -> None:
        kept = {n: at for n, at in self._read().items() if n < batch}
        newest = sorted(kept)[-1:]
        entries = {**{n: kept[n] for n in newest}, batch: clock.at}
        text = json.dumps({str(n): at.isoformat() if at else None for n, at in entries.items()})
        self._storage.write_atomic(self._path, text.encode())

    def _read(self) -> dict[int, datetime | None]:
        try:
            with self._storage.open_read(self._path) as stream:
                entries = json.load(stream)
        except FileNotFoundError:
            return {}
        return {int(n): datetime.fromisoformat(at) if at else None for n, at in entries.items()}
