"""Training examples of neural collaborative filtering: a listener, a positive, and tracks they never played."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from models.data import UNKNOWN, ListeningData
from models.recommend.ncf_config import NcfConfig


class Examples(NamedTuple):
    """users: int32 [B]; history: int32 [B, L], newest first, -1 none; positives: int32 [B]."""

    users: np.ndarray
    history: np.ndarray
    positives: np.ndarray


class NcfSampler:
    """Draws examples, epoch by epoch, and negatives.

    Of a listener by id, the positives are all their distinct tracks. Of one by history, each place in a sequence after
    the first play is an example an epoch: what came before is the history, one of the plays from there on the positive.
    The history never holds the play to predict, so nothing is learned from a track about itself.
    """

    def __init__(self, data: ListeningData, config: NcfConfig):
        self._data, self._config = data, config
        self._pairs = np.unique(data.user_of_play * data.n_tracks + data.items)  # sorted
        keys = data.user_of_play * data.n_tracks + data.items
        self._new = np.zeros(data.n_plays, bool)
        self._new[np.unique(keys, return_index=True)[1]] = True
        self._start, self._end = data.offsets[data.user_of_play], data.offsets[data.user_of_play + 1]
        self._after_one = np.flatnonzero(np.arange(data.n_plays) > self._start)
        if not len(self):
            raise ValueError(f"ncf: nothing to learn from, no user of {data.n_users} has two plays; ingest more events")

    def __len__(self) -> int:
        """Examples of an epoch, at the most."""
        return len(self._pairs if self._config.user == "id" else self._after_one)

    def epoch(self, rng: np.random.Generator) -> Iterator[Examples]:
        """Every example once, shuffled, in batches of ``config.batch_size`` (the last may be smaller)."""
        places, targets = (None, None) if self._config.user == "id" else self._drawn(rng)
        order = rng.permutation(len(self._pairs) if places is None else len(places))
        for first in range(0, len(order), self._config.batch_size):
            chosen = order[first : first + self._config.batch_size]
            if places is None:
                users, items = np.divmod(self._pairs[chosen], self._data.n_tracks)
                history = np.full((len(chosen), self._config.history), UNKNOWN, np.int32)
                yield Examples(users.astype(np.int32), history, items.astype(np.int32))
            else:
                yield self._examples(places[chosen], targets[chosen])

    def _drawn(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Places (the history ends before) and the play to predict from each."""
        chance = self._config.window_decay ** np.arange(self._config.window)
        ahead = rng.choice(self._config.window, len(self._after_one), p=chance / chance.sum())
        targets = self._after_one + ahead
        usable = targets < self._end[self._after_one]
        if not self._config.repeats:
            usable &= self._new[np.minimum(targets, self._data.n_plays - 1)]
        return self._after_one[usable], targets[usable]

    def _examples(self, places: np.ndarray, targets: np.ndarray) -> Examples:
        return Examples(
            self._data.user_of_play[places].astype(np.int32),
            before(self._data.items, self._start[places], places, self._config.history),
            self._data.items[targets].astype(np.int32),
        )

    def negatives(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int32 [B, negatives]: drawn evenly from the tracks each user never played.

        A listener of nearly everything may keep a played one after eight draws.
        """
        drawn = rng.integers(0, self._data.n_tracks, (len(users), self._config.negatives))
        for _ in range(8):
            keys = users[:, None].astype(np.int64) * self._data.n_tracks + drawn
            place = np.minimum(np.searchsorted(self._pairs, keys), len(self._pairs) - 1)
            played = self._pairs[place] == keys
            if not played.any():
                break
            drawn[played] = rng.integers(0, self._data.n_tracks, int(played.sum()))
        return drawn.astype(np.int32)


def before(items: np.ndarray, starts: np.ndarray, places: np.ndarray, length: int) -> np.ndarray:
    """int32 [B, length]: the plays before each place, newest first, none from before its start; -1 where none."""
    back = places[:, None] - 1 - np.arange(length)
    return np.where(back >= starts[:, None], items[np.maximum(back, 0)], UNKNOWN).astype(np.int32)
