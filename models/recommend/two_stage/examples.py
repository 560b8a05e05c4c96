"""What the ranker learns from: moments after a cut, with candidates and features from the plays before it.

The tables are counted on the plays before the cut, the history goes up to the moment, and the answer lies after it:
just as when it is asked. Features of later cuts have more to count; several cuts give more examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.data import UNKNOWN, ListeningData
from models.recommend.two_stage.config import TaskConfig, TwoStageConfig

TASKS = ("next", "discover")


@dataclass(frozen=True)
class Moments:
    """Q moments to ask at: the play that came (an index into ``data.items``) and its listener.

    task: "next" (the play itself is wanted) or "discover" (what was new to the listener in the plays from it on).
    """

    task: str
    plays: np.ndarray
    users: np.ndarray


@dataclass(frozen=True)
class RankingExamples:
    """features: float32 [R, F]; relevant: float32 [R], 1 or 0; group: int32 [R], ascending, the moment of each row."""

    features: np.ndarray
    relevant: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.relevant)

    @classmethod
    def joined(cls, parts: list[RankingExamples]) -> RankingExamples:
        shift = np.concatenate([[0], np.cumsum([p.group[-1] + 1 if len(p) else 0 for p in parts])])
        return cls(
            np.concatenate([p.features for p in parts]),
            np.concatenate([p.relevant for p in parts]),
            np.concatenate([p.group + s for p, s in zip(parts, shift, strict=False)]).astype(np.int32),
        )


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


def examples(
    data: ListeningData, moments: Moments, first_stage: Callable, config: TwoStageConfig, rng: np.random.Generator
) -> RankingExamples:
    """Candidates and features of the moments by ``first_stage``(history int32 [B, L]) -> (candidates, features).

    Of each moment the right candidates, the best wrong ones and some of the others are kept; a
    moment none of whose candidates is right teaches nothing about their order and is left out.
    """
    answers = wanted(data, moments, config.ahead)
    kept = []
    for start in range(0, len(moments.plays), config.batch_size):
        rows = slice(start, start + config.batch_size)
        batch = Moments(moments.task, moments.plays[rows], moments.users[rows])
        candidates, features = (x.numpy() for x in first_stage(histories(data, batch, config.history)))
        relevant = np.stack([np.isin(c, a) for c, a in zip(candidates, answers[rows], strict=True)])
        chosen = _chosen(candidates, relevant, config.of(moments.task), rng)
        group, place = np.nonzero(chosen)
        kept.append((features[group, place], relevant[group, place].astype(np.float32), group + start))
    features, relevant, group = (np.concatenate(part) for part in zip(*kept, strict=True))
    return RankingExamples(features, relevant, np.unique(group, return_inverse=True)[1].astype(np.int32))


def _chosen(candidates: np.ndarray, relevant: np.ndarray, config: TaskConfig, rng: np.random.Generator):
    n_easy = max(0, candidates.shape[1] - config.hard_negatives)
    share = min(1.0, config.easy_negatives / max(1, n_easy))
    chosen = rng.random(candidates.shape) < share
    chosen[:, : config.hard_negatives] = True
    return (chosen | relevant) & (candidates >= 0) & relevant.any(1, keepdims=True)
