"""Windows over listeners' plays: every position of a window is an example, its target the play after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from models.data import UNKNOWN, ListeningData
from models.recommend.requests import Queries
from models.recommend.sequence.config import SequenceConfig

HOURS_OF_WEEK = 168
GAPS = 24
HOUR_MS = 3_600_000


class Plays(NamedTuple):
    """B sequences of T plays, oldest first, int32 [B, T] each; -1 is no play or unknown.

    tracks: the plays; sessions: the session of each play, counted up; upcoming: the session that the next play
    belongs to; gaps: bucket of the time to the next play; hours: hour of the week of the next play.
    """

    tracks: np.ndarray
    sessions: np.ndarray
    upcoming: np.ndarray
    gaps: np.ndarray
    hours: np.ndarray


class Batch(NamedTuple):
    """plays: the inputs; targets: int32 [B, T], the play after each, -1 where it is no target; folds: int32 [B]."""

    plays: Plays
    targets: np.ndarray
    folds: np.ndarray


def gap_buckets(milliseconds: np.ndarray) -> np.ndarray:
    """int32: the logarithm, to base 2, of a pause in seconds, 0 to 23 (some 97 days); -1 where it is negative."""
    seconds = np.maximum(milliseconds, 1000) / 1000.0
    return np.where(milliseconds >= 0, np.minimum(np.log2(seconds), GAPS - 1), UNKNOWN).astype(np.int32)


def hours_of_week(times: np.ndarray) -> np.ndarray:
    """int32, 0 (Monday, midnight UTC) to 167, of ms since 1970; -1 where negative."""
    return np.where(times >= 0, (times // HOUR_MS + 72) % HOURS_OF_WEEK, UNKNOWN).astype(np.int32)


def session_numbers(offsets: np.ndarray, times: np.ndarray | None, config: SequenceConfig) -> np.ndarray:
    """int32 [N]: the session of each play of its listener, from 0. See :class:`SequenceConfig` for what ends one."""
    n = int(offsets[-1])
    first = np.repeat(offsets[:-1], np.diff(offsets))
    if times is None:
        return ((np.arange(n) - first) // config.session_plays).astype(np.int32)
    new = np.concatenate([[0], np.diff(times) > config.session_gap_minutes * 60_000]).astype(np.int64)[:n]
    count = np.cumsum(new)
    return (count - count[first] if n else count).astype(np.int32)


class Windows:
    """All windows of the data, in shuffled batches of like length."""

    def __init__(self, data: ListeningData, config: SequenceConfig):
        self._data, self._config = data, config
        self._clock = config.clock and data.times is not None
        self._sessions = session_numbers(data.offsets, data.times, config)
        rows = [(u, *w) for u, n in enumerate(np.diff(data.offsets)) for w in _cut(int(n), config)]
        if not rows:
            raise ValueError(f"sequence: nothing to learn from, {data.n_users} listeners have no play; ingest more")
        self._rows = np.asarray(rows, np.int64)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._rows) // self._config.batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Every target once. Windows of a batch are of like length, so that little is padded."""
        size = self._config.batch_size
        length = (self._rows[:, 3] - self._rows[:, 1]) * (1 + 0.2 * rng.random(len(self._rows)))
        order = np.argsort(length, kind="stable")
        for batch in rng.permutation(self.steps):
            yield self.batch(self._rows[order[batch * size : (batch + 1) * size]], rng)

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Windows (user, first input, first target, end of the targets), all counted from the listener's first play."""
        data, (users, low, fresh, end) = self._data, rows.T
        start = data.offsets[users][:, None]
        place = low[:, None] + np.arange(int((end - 1 - low).max()))
        inside = place < end[:, None] - 1
        here = np.clip(start + place, 0, data.n_plays - 1)
        after = np.minimum(start + place + 1, data.n_plays - 1)
        played = inside & (place >= 0)
        target = inside & (place + 1 >= fresh[:, None])
        gaps = hours = np.full(place.shape, UNKNOWN, np.int32)
        if self._clock:
            told = inside & (rng.random(place.shape) >= self._config.moment_dropout)
            gaps = np.where(told & played, gap_buckets(data.times[after] - data.times[here]), UNKNOWN)
            hours = np.where(told, hours_of_week(data.times[after]), UNKNOWN)
        plays = Plays(
            np.where(played, data.items[here], UNKNOWN).astype(np.int32),
            np.where(played, self._sessions[here], UNKNOWN).astype(np.int32),
            np.where(inside, self._sessions[after], UNKNOWN).astype(np.int32),
            gaps,
            hours,
        )
        targets = np.where(target, data.items[after], UNKNOWN).astype(np.int32)
        return Batch(plays, targets, (users % self._config.folds).astype(np.int32))


def _cut(n: int, config: SequenceConfig) -> list[tuple[int, int, int]]:
    """Windows of ``n`` plays, latest first: first input (-1: before the first play), first target, end of targets."""
    out, end = [], n
    while end > 0:
        low = max(end - 1 - config.history, -1)
        fresh = 0 if low < 0 else low + 1 + config.overlap
        fresh = min(fresh, end - 1)
        out.append((low, fresh, end))
        end = fresh
    return out


def plays_of(queries: Queries, config: SequenceConfig) -> Plays:
    """The latest plays of each history, padded in front so that the last column is the latest play."""
    longest = max((len(h) for h in queries.histories), default=0)
    width = max(1, min(longest, config.history))
    n = len(queries)
    out = Plays(*(np.full((n, width), UNKNOWN, np.int32) for _ in Plays._fields))
    for row, history in enumerate(queries.histories):
        times = None if queries.times is None else np.asarray(queries.times[row], np.int64)
        now = UNKNOWN if queries.now is None else int(queries.now[row])
        _fill(out, row, np.asarray(history), times, now, config)
    return out


def _fill(out: Plays, row: int, history: np.ndarray, times: np.ndarray | None, now: int, config) -> None:
    n = len(history)
    clock = None if times is None else np.concatenate([times, [now if now >= 0 else times[-1] if n else 0]])
    sessions = session_numbers(np.array([0, n + 1]), clock, config)
    kept = min(n, out.tracks.shape[1])
    if kept:
        out.tracks[row, -kept:] = history[n - kept :]
        out.sessions[row, -kept:] = sessions[n - kept : n]
    out.upcoming[row, -max(kept, 1) :] = sessions[n + 1 - max(kept, 1) :]
    if not config.clock:
        return
    if clock is not None and kept:
        out.gaps[row, -kept:] = gap_buckets(np.diff(clock))[n - kept :]
        out.hours[row, -kept:] = hours_of_week(clock)[n - kept + 1 :]
        if now < 0:
            out.gaps[row, -1] = out.hours[row, -1] = UNKNOWN
    if now >= 0:
        out.hours[row, -1] = hours_of_week(np.array([now]))[0]
