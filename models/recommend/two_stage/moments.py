"""Moments after a cut that rankers learn from, to be asked of what the plays before it say.

The tables are counted on the plays before the cut, the history goes up to the moment, and the answer lies after it:
just as when it is asked. Features of later cuts have more to count; several cuts give more examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data import UNKNOWN, ListeningData

TASKS = ("next", "discover")


@dataclass(frozen=True)
class Moments:
    """Q moments to ask at: the play that came (an index into ``data.items``) and its listener.

    task: "next" (the play itself is wanted) or "discover" (what was new to the listener in the plays from it on).
    """

    task: str
    plays: np.ndarray
    users: np.ndarray


def before(data: ListeningData, share: float) -> np.ndarray:
    """bool [N]: the plays before the cut that has ``share`` of the plays: by time with a true clock, else by each
    listener's order."""
    if data.clock == "event":
        return data.times < np.quantile(data.times, share, method="higher")
    place = np.arange(data.n_plays) - data.offsets[data.user_of_play]
    return place < np.floor(share * np.diff(data.offsets))[data.user_of_play]


def next_moments(data: ListeningData, first: float, last: float, n: int, rng: np.random.Generator) -> Moments:
    """At most ``n`` plays between two cuts that have a play before them."""
    chosen = before(data, last) if last < 1 else np.ones(data.n_plays, bool)
    chosen &= ~before(data, first)
    chosen[data.offsets[:-1][np.diff(data.offsets) > 0]] = False
    return _drawn(data, "next", np.flatnonzero(chosen), n, rng)


def discover_moments(data: ListeningData, first: float, n: int, rng: np.random.Generator) -> Moments:
    """At most ``n`` plays in the first half of what comes after a cut, so that enough lies ahead of each."""
    chosen = before(data, (1 + first) / 2) & ~before(data, first)
    chosen[data.offsets[:-1][np.diff(data.offsets) > 0]] = False
    return _drawn(data, "discover", np.flatnonzero(chosen), n, rng)


def _drawn(data: ListeningData, task: str, plays: np.ndarray, n: int, rng: np.random.Generator) -> Moments:
    plays = np.sort(rng.choice(plays, n, replace=False)) if len(plays) > n else plays
    return Moments(task, plays, data.user_of_play[plays])


def histories(data: ListeningData, moments: Moments, length: int) -> np.ndarray:
    """int32 [Q, length]: plays before each moment, newest first, -1 where there are no more."""
    back = moments.plays[:, None] - 1 - np.arange(length)
    known = back >= data.offsets[moments.users][:, None]
    return np.where(known, data.items[np.maximum(back, 0)], UNKNOWN).astype(np.int32)


def wanted(data: ListeningData, moments: Moments, ahead: float) -> list[np.ndarray]:
    """Per moment the tracks that were right. ``ahead``: for "discover", plays looked at, as a share of the history."""
    if moments.task == "next":
        return [data.items[play : play + 1] for play in moments.plays]
    out = []
    for play, user in zip(moments.plays, moments.users, strict=True):
        start, end = data.offsets[user], data.offsets[user + 1]
        reach = min(end, play + max(3, int(ahead * (play - start))))
        out.append(np.setdiff1d(data.items[play:reach], data.items[start:play]))
    return out
