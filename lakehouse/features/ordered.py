"""Terms that need the events in their order: last ids, top ids, sessions, and the newest of moved events.

One pass over the beginnings, ends and questions of each entity in order of time keeps the list of events that count,
sorted by (occurred_at, event); most changes are at its end, where they cost nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from lakehouse.features.kernel import Events, Intervals, Questions

Entry = tuple[int, int, int]
"""(occurred_at in ms, event number, row of the facts)."""


class Reader(Protocol):
    """What a term keeps of the events that count. ``begin`` starts an entity with the (empty) list it will follow."""

    def begin(self, active: list[Entry]) -> None: ...
    def added(self, entry: Entry, at_end: bool) -> None: ...
    def removed(self, entry: Entry) -> None: ...
    def read(self, time: int) -> Any: ...


class Last:
    """The ``size`` newest texts."""

    def __init__(self, texts: Sequence[str], size: int):
        self._texts, self._size = texts, size

    def begin(self, active: list[Entry]) -> None:
        self._active = active

    def added(self, entry: Entry, at_end: bool) -> None:
        pass

    def removed(self, entry: Entry) -> None:
        pass

    def read(self, time: int) -> list[str]:
        return [self._texts[row] for _, _, row in self._active[: -self._size - 1 : -1]]


class Top:
    """The ``size`` most frequent texts."""

    def __init__(self, texts: Sequence[str], size: int):
        self._texts, self._size = texts, size

    def begin(self, active: list[Entry]) -> None:
        self._counts: Counter[str] = Counter()

    def added(self, entry: Entry, at_end: bool) -> None:
        self._counts[self._texts[entry[2]]] += 1

    def removed(self, entry: Entry) -> None:
        self._counts[self._texts[entry[2]]] -= 1

    def read(self, time: int) -> list[str]:
        ranked = sorted((-n, text) for text, n in self._counts.items() if n)
        return [text for _, text in ranked[: self._size]]


class Newest:
    """ms since the newest event, -1 if there is none."""

    def begin(self, active: list[Entry]) -> None:
        self._active = active

    def added(self, entry: Entry, at_end: bool) -> None:
        pass

    def removed(self, entry: Entry) -> None:
        pass

    def read(self, time: int) -> int:
        return time - self._active[-1][0] if self._active else -1


class OpenSession:
    """(events, skips, ms since its begin) of the session that is open."""

    def __init__(self, heard_ms: Sequence[int], skips: Sequence[int], gap: int):
        self._heard, self._skips, self._gap = heard_ms, skips, gap

    def begin(self, active: list[Entry]) -> None:
        self._active, self._stale = active, False
        self._restart()

    def _restart(self) -> None:
        self._events, self._skipped, self._first, self._until = 0, 0, 0, None

    def _append(self, entry: Entry) -> None:
        occurred, _, row = entry
        if self._until is None or occurred - self._until > self._gap:
            self._restart()
            self._first, self._until = occurred, occurred
        self._events += 1
        self._skipped += self._skips[row]
        self._until = max(self._until, occurred + self._heard[row])

    def added(self, entry: Entry, at_end: bool) -> None:
        if at_end and not self._stale:
            self._append(entry)
        else:
            self._stale = True

    def removed(self, entry: Entry) -> None:
        # an event that is older than the open session has no part in it
        self._stale = self._stale or entry[0] >= self._first

    def read(self, time: int) -> tuple[int, int, int]:
        if self._stale:
            self._restart()
            for entry in self._active:
                self._append(entry)
            self._stale = False
        if self._until is None or time - self._until > self._gap:
            return 0, 0, 0
        return self._events, self._skipped, time - self._first


def sweep(events: Events, intervals: Intervals, ask: Questions, readers: Sequence[Reader]) -> list[list[Any]]:
    """-> for each reader its values [q], in the order of the questions."""
    n, asked = len(intervals.row), len(ask.entity)
    entity = np.concatenate([ask.entity, intervals.entity, intervals.entity])
    time = np.concatenate([ask.time, intervals.end, intervals.start])
    kind = np.repeat(np.array([0, 1, 2]), [asked, n, n])  # at one time: questions first, then ends, then beginnings
    order = np.lexsort((kind, time, entity))
    place = np.concatenate([np.arange(asked), np.arange(n), np.arange(n)])
    entries = list(zip(events.occurred[intervals.row].tolist(), events.number[intervals.row].tolist(),
                       intervals.row.tolist(), strict=True))  # fmt: skip
    results: list[list[Any]] = [[None] * asked for _ in readers]
    active: list[Entry] = []
    current = None
    columns = (a[order].tolist() for a in (entity, time, kind, place))
    for whose, when, what, where in zip(*columns, strict=True):
        if whose != current:
            current, active = whose, []
            for reader in readers:
                reader.begin(active)
        if what == 0:
            for result, reader in zip(results, readers, strict=True):
                result[where] = reader.read(when)
        elif what == 1:
            entry = entries[where]
            del active[bisect_left(active, entry)]
            for reader in readers:
                reader.removed(entry)
        else:
            _add(active, entries[where], readers)
    return results


def _add(active: list[Entry], entry: Entry, readers: Sequence[Reader]) -> None:
    at_end = not active or entry > active[-1]
    if at_end:
        active.append(entry)
    else:
        insort(active, entry)
    for reader in readers:
        reader.added(entry, at_end)
