"""Training examples of the two-tower model: a history, and the tracks that came next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from models.data import UNKNOWN, ListeningData
from models.recommend.config import TwoTowerConfig


class Batch(NamedTuple):
    """B examples; track indices are int32, -1 for none, histories newest first.

    shown: [B, L], the history as the model sees it; ages: [B, L], 0 the latest play, -1 hidden or none;
    history: [B, L], all of it, whose tracks are no wrong answers; targets: [B, W] with weights [B, W] summing to 1;
    hours, devices: [B], the context of the first target.
    """

    shown: np.ndarray
    ages: np.ndarray
    history: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    hours: np.ndarray
    devices: np.ndarray


class ExampleSampler:
    """Draws (user, position) pairs whose next plays hold something to predict.

    Memory is a few numbers a play; histories and windows are cut out batch by batch.
    """

    def __init__(self, data: ListeningData, config: TwoTowerConfig):
        self._data, self._config = data, config
        self._start = data.offsets[data.user_of_play]
        self._end = data.offsets[data.user_of_play + 1]
        pairs = data.user_of_play * data.n_tracks + data.items
        new = np.zeros(data.n_plays, bool)
        new[np.unique(pairs, return_index=True)[1]] = True
        self._worth = np.where(new, 1.0, config.repeat_weight).astype(np.float32)
        self._usable = self._usable_positions()
        if not len(self._usable):
            raise ValueError(
                f"two_tower: nothing to learn from, no user of {data.n_users} plays a new track after another play; "
                "ingest more events, or set TwoTowerConfig.repeat_weight above 0"
            )

    def _usable_positions(self) -> np.ndarray:
        reach = np.concatenate([[0.0], np.cumsum(self._worth, dtype=np.float64)])
        here = np.arange(self._data.n_plays)
        ahead = reach[np.minimum(here + self._config.window, self._end)] - reach[here]
        return np.flatnonzero(ahead > 1e-6)

    def __len__(self) -> int:
        """Expected examples in an epoch."""
        per_user = np.bincount(self._data.user_of_play[self._usable])
        return int(np.minimum(per_user, self._config.examples_per_user).sum())

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """About ``examples_per_user`` examples of each user, shuffled, in batches."""
        users = self._data.user_of_play[self._usable]
        share = self._config.examples_per_user / np.bincount(users, minlength=self._data.n_users).clip(1)
        drawn = rng.permutation(self._usable[rng.random(len(users)) < share[users]])
        if not len(drawn):
            drawn = rng.permutation(self._usable)[:1]
        for first in range(0, len(drawn), self._config.batch_size):
            yield self.batch(drawn[first : first + self._config.batch_size], rng)

    def batch(self, positions: np.ndarray, rng: np.random.Generator) -> Batch:
        """Examples whose first target is the play at each position (an index into ``data.items``)."""
        config, data = self._config, self._data
        back = positions[:, None] - 1 - np.arange(config.history)
        history = np.where(back >= self._start[positions, None], data.items[np.maximum(back, 0)], UNKNOWN)
        chance = np.full(config.history, config.history_dropout)
        chance[0] /= 4  # the latest play says most, and a listener without one is rare
        empty = rng.random((len(positions), 1)) < config.empty_share
        hidden = (rng.random(history.shape) < chance) | empty
        shown = np.where(hidden, UNKNOWN, history)
        ahead = positions[:, None] + np.arange(config.window)
        inside = ahead < self._end[positions, None]
        ahead = np.minimum(ahead, data.n_plays - 1)
        weights = np.where(inside, self._worth[ahead], 0.0) * config.window_decay ** np.arange(config.window)
        return Batch(
            shown=shown.astype(np.int32),
            ages=np.where(shown >= 0, np.arange(config.history), UNKNOWN).astype(np.int32),
            history=history.astype(np.int32),
            targets=np.where(inside, data.items[ahead], UNKNOWN).astype(np.int32),
            weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
            hours=data.of_context("hour")[positions].astype(np.int32),
            devices=data.of_context("device")[positions].astype(np.int32),
        )


class NegativeSampler:
    """Draws the candidates of a step's softmax.

    Each track is in with probability p = min(1, c plays^power), independently (Poisson sampling), and its logit is
    corrected by -log p (log-Q; Bengio & Senecal 2008, Yi et al. 2019), so the expected softmax is the full one. With
    as many negatives as tracks every p is 1 and it is the full one.
    """

    def __init__(self, plays: np.ndarray, expected: int, power: float):
        weight = (plays + 1.0) ** power
        self._chance = np.ones(len(plays))
        if expected < len(plays):
            scale = expected / weight.sum()
            for _ in range(20):  # tracks at p = 1 leave their surplus to the others
                self._chance = np.minimum(1.0, scale * weight)
                scale *= expected / self._chance.sum()
        self.log_chance = np.log(self._chance).astype(np.float32)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """int32 [about ``expected``]: distinct track indices; never empty."""
        drawn = np.flatnonzero(rng.random(len(self._chance)) < self._chance)
        return (drawn if len(drawn) else np.array([int(np.argmax(self._chance))])).astype(np.int32)
