"""What a listening session looks like up to a moment: how it sounds, against what the listener usually plays, how long
it has run, what was skipped.

Only plays before the moment count, so a value never changes with what comes after it. A session goes on while no two
plays begin more than 30 minutes apart: starts are all that a request tells of its plays.
"""

from __future__ import annotations

import numpy as np

from lakehouse.refine.sessions import GAP_SECONDS
from models.data import ACOUSTIC, ListeningData
from models.recommend.requests import Queries

GAP_MS = GAP_SECONDS * 1000
MINUTE_MS = 60_000
BLOCK_PLAYS = 250_000
"""Plays worked on together: about 40 MB of running sums."""

NAMES = (
    *(f"session {name}" for name in ACOUSTIC),
    *(f"session less usual {name}" for name in ACOUSTIC),
    "session plays",
    "session minutes",
    "session skip share",
    "minutes since last start",
)


def of_plays(data: ListeningData, plays: np.ndarray) -> np.ndarray:
    """float32 [P, len(NAMES)]: the session before each play (indices into ``data.items``, ascending)."""
    out = np.full((len(plays), len(NAMES)), np.nan, np.float32)
    if data.times is None:
        return out
    starts = data.offsets[data.user_of_play[plays]]
    begin = 0
    while begin < len(plays):
        low = starts[begin]
        end = begin + max(1, int(np.searchsorted(plays[begin:], low + BLOCK_PLAYS)))
        end = int(np.searchsorted(plays, data.offsets[data.user_of_play[plays[end - 1]] + 1]))  # users stay whole
        rows = slice(low, plays[end - 1] + 1)
        out[begin:end] = _shape(
            data.catalogue.acoustic, data.items[rows], data.times[rows], data.skipped[rows],
            starts[begin:end] - low, plays[begin:end] - low, data.times[plays[begin:end]],
        )  # fmt: skip
        begin = end
    return out


def of_queries(acoustic: np.ndarray, queries: Queries) -> np.ndarray:
    """float32 [B, len(NAMES)]: the session each request continues; NaN where the times of its plays are not told.

    acoustic: float32 [I, 9] of the catalogue. A request that does not say when it is made is taken to be made at its
    latest play.
    """
    n = len(queries)
    if queries.times is None:
        return np.full((n, len(NAMES)), np.nan, np.float32)
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in queries.histories])]).astype(np.int64)
    empty = np.zeros(0, np.int64)
    times = np.concatenate([*queries.times, empty])
    told = queries.skipped if queries.skipped is not None else [np.full(len(h), -1) for h in queries.histories]
    latest = np.concatenate([times, [0]])[np.maximum(offsets[1:] - 1, 0)]
    now = latest if queries.now is None else np.where(queries.now >= 0, queries.now, latest)
    items, skipped = np.concatenate([*queries.histories, empty]), np.concatenate([*told, empty])
    return _shape(acoustic, items, times, skipped, offsets[:-1], offsets[1:], now)


def _shape(acoustic, items, times, skipped, start, stop, now) -> np.ndarray:
    """Query q sees the plays [start, stop) of its listener; all arrays of plays are [N], of queries [Q]."""
    first = np.zeros(len(items) + 1, bool)
    first[start] = True
    first[1:-1] |= np.diff(times) > GAP_MS
    begin = np.maximum.accumulate(np.where(first[:-1], np.arange(len(items)), 0))
    last = np.maximum(stop - 1, 0)
    padded = np.append(times, 0)
    running = (stop > start) & (now - padded[last] <= GAP_MS)
    begin = np.where(running, np.append(begin, 0)[last], stop)

    sound = acoustic[items].astype(np.float64).reshape(len(items), len(ACOUSTIC))
    told = skipped >= 0
    values = np.column_stack([np.nan_to_num(sound), ~np.isnan(sound), told & (skipped > 0), told])
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    session, usual = total[stop] - total[begin], total[begin] - total[start]
    a = len(ACOUSTIC)
    heard, known = _mean(session[:, :a], session[:, a : 2 * a]), _mean(usual[:, :a], usual[:, a : 2 * a])
    return np.column_stack(
        [
            heard,
            heard - known,
            stop - begin,
            np.where(running, now - np.append(times, 0)[begin], 0) / MINUTE_MS,
            _mean(session[:, -2], session[:, -1]),
            np.where(running, (now - padded[last]) / MINUTE_MS, np.nan),
        ]
    ).astype(np.float32)


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
