"""Sessions as training rows: the plays of one session, beside what closed sessions left in memory when it began.

This is the form a request has that carries the current session and a stored memory. The memory is a sum over earlier
plays with known weights, so that training goes through the embeddings it is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from models.data import UNKNOWN, ListeningData
from models.recommend.requests import Queries
from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.windows import Plays, gap_buckets, hours_of_week, session_numbers


class SessionBatch(NamedTuple):
    """plays, targets, folds: as in :class:`models.recommend.sequence.windows.Batch`, each row one session.

    past: int32 [B, P], plays of closed sessions, -1 none; weights: float32 [B, H, P], what each adds to the
    averages of the memory;
    closed: int32 [B], sessions among them.
    """

    plays: Plays
    targets: np.ndarray
    folds: np.ndarray
    past: np.ndarray
    weights: np.ndarray
    closed: np.ndarray


class SessionWindows:
    """All sessions of the data, in shuffled batches of like length. A session of more than ``config.history`` plays is
    cut; its memory is of the whole sessions among the ``config.history`` plays before it."""

    def __init__(self, data: ListeningData, config: SequenceConfig):
        self._data, self._config = data, config
        self._clock = config.clock and data.times is not None
        number = session_numbers(data.offsets, data.times, config)
        user = data.user_of_play
        starts = np.flatnonzero((np.diff(number, prepend=-1) != 0) | (np.diff(user, prepend=-1) != 0))
        if not len(starts):
            raise ValueError(f"session: nothing to learn from, {data.n_users} listeners have no play; ingest more")
        ends = np.append(starts[1:], data.n_plays)
        self._starts, self._sizes = starts, ends - starts
        of_session = user[starts]
        first = np.searchsorted(of_session, of_session)  # the listener's first session
        rows = []
        for session, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            low = max(int(first[session]), int(np.searchsorted(starts, start - config.history)))
            rows += [(session, low, cut, min(cut + config.history, end)) for cut in range(start, end, config.history)]
        self._rows = np.asarray(rows, np.int64)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._rows) // self._size)

    @property
    def _size(self) -> int:
        """Rows of a batch: so many that it has about the plays of a batch of whole windows."""
        mean = max(1.0, self._data.n_plays / len(self._rows))
        return max(1, int(self._config.batch_size * max(1.0, 50 / mean)))

    def epoch(self, rng: np.random.Generator) -> Iterator[SessionBatch]:
        """Every play once, as a target."""
        length = (self._rows[:, 3] - self._rows[:, 2]) * (1 + 0.2 * rng.random(len(self._rows)))
        order = np.argsort(length, kind="stable")
        for batch in rng.permutation(self.steps):
            yield self.batch(self._rows[order[batch * self._size : (batch + 1) * self._size]], rng)

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> SessionBatch:
        """Rows (session, first session of its memory, first target, end of the targets), counted over all plays."""
        data, (session, low, cut, end) = self._data, rows.T
        start, user = self._starts[session], data.user_of_play[cut]
        target = cut[:, None] + np.arange(int((end - cut).max()))
        inside = target < end[:, None]
        after = np.minimum(target, data.n_plays - 1)
        here = np.maximum(after - 1, 0)
        played = inside & (target > start[:, None])
        gaps = hours = np.full(target.shape, UNKNOWN, np.int32)
        if self._clock:
            told = inside & (rng.random(target.shape) >= self._config.moment_dropout)
            since = data.offsets[user] if self._config.memory else start  # a memory knows when the last session was
            heard = told & (target > since[:, None])
            gaps = np.where(heard, gap_buckets(data.times[after] - data.times[here]), UNKNOWN)
            hours = np.where(told, hours_of_week(data.times[after]), UNKNOWN)
        plays = Plays(
            np.where(played, data.items[here], UNKNOWN).astype(np.int32),
            np.where(played, 0, UNKNOWN).astype(np.int32),
            np.where(inside, 0, UNKNOWN).astype(np.int32),
            gaps,
            hours,
        )
        targets = np.where(inside, data.items[after], UNKNOWN).astype(np.int32)
        return SessionBatch(plays, targets, (user % self._config.folds).astype(np.int32), *self._past(session, low))

    def _past(self, session: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Earlier plays, their weights in the memory and the number of sessions, for sessions low..session - 1."""
        begin, end = self._starts[low], self._starts[session]
        place = begin[:, None] + np.arange(max(1, int((end - begin).max(initial=1))))
        inside = place < end[:, None]
        place = np.minimum(place, self._data.n_plays - 1)
        of = np.searchsorted(self._starts, place, side="right") - 1
        since = np.maximum(session[:, None] - of - 1, 0)
        each = [np.where(inside, (1 - d) * d**since / self._sizes[of], 0) for d in self._config.decays]
        weights = np.stack(each, 1).astype(np.float32)
        return (
            np.where(inside, self._data.items[place], UNKNOWN).astype(np.int32),
            weights,
            (session - low).astype(np.int32),
        )


def session_plays(queries: Queries, lengths: np.ndarray, as_of: np.ndarray, config: SequenceConfig) -> Plays:
    """The last ``lengths`` [B] plays of each history as the current session; as_of: int64 [B] ms of the latest play
    in the memory, -1 unknown, from which a session that has not begun is counted."""
    width = max(1, min(int(lengths.max(initial=0)), config.history))
    out = Plays(*(np.full((len(queries), width), UNKNOWN, np.int32) for _ in Plays._fields))
    for row, n in enumerate(np.minimum(lengths, config.history)):
        seen = max(n, 1)
        out.upcoming[row, -seen:] = 0
        if n:
            out.tracks[row, -n:], out.sessions[row, -n:] = queries.histories[row][-n:], 0
        if not config.clock:
            continue
        now = UNKNOWN if queries.now is None else int(queries.now[row])
        latest = [as_of[row]]
        if n:
            latest = [UNKNOWN] * n if queries.times is None else queries.times[row][-n:]
        clock = np.append(np.asarray(latest, np.int64), now)
        out.gaps[row, -seen:] = np.where((clock[:-1] >= 0) & (clock[1:] >= 0), gap_buckets(np.diff(clock)), UNKNOWN)
        out.hours[row, -seen:] = hours_of_week(clock[1:])
    return out
