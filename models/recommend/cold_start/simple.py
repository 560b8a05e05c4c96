"""What a cold start has to beat: chance, and the popularity of artists or genres in the listener's own proportions."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from models.data import Catalogue, ListeningData
from models.recommend.base import Progress
from models.recommend.by_history import HistoryRecommender
from models.recommend.cold_start.content import one_of_many
from models.recommend.interactions import recency_query


class RandomOrder(HistoryRecommender):
    """Every track is as good as any other; the same history gets the same order."""

    name = "random"

    def __init__(self, seed: int = 0):
        super().__init__()
        self.seed = seed

    def fit(self, data: ListeningData, progress: Progress | None = None) -> RandomOrder:
        self._learn(data)
        return self

    def refit(self, data: ListeningData, progress: Progress | None = None) -> RandomOrder:
        return RandomOrder(self.seed).fit(data)

    def score_histories(self, histories: list[np.ndarray]) -> np.ndarray:
        seeds = ([self.seed, len(history), *history.tolist()] for history in histories)
        return np.stack([np.random.default_rng(seed).random(len(self.catalogue), np.float32) for seed in seeds])


class GroupPopularity(HistoryRecommender):
    """Popular tracks of the listener's artists (``by="artist"``) or genres (``by="genre"``).

    With c the listener's distinct tracks of a group, n all of them and p the group's share of everybody's listening,

        score(j) = (c + strength p) / (n + strength) * l(j) / p,  l(j) the share of listeners of track j

    A track without listeners is taken for the mean of its artist, or of its genre where the artist has none: what
    "popularity by genre or artist" can say of a new release. Raises ValueError for another ``by``.
    """

    def __init__(self, by: str = "artist", strength: float = 5.0):
        super().__init__()
        if by not in ("artist", "genre") or strength <= 0:
            raise ValueError(f"GroupPopularity: by {by!r} must be 'artist' or 'genre', strength {strength} above 0")
        self.by, self.strength = by, strength
        self.name = f"popularity_by_{by}"

    def refit(self, data: ListeningData, progress: Progress | None = None) -> GroupPopularity:
        return GroupPopularity(self.by, self.strength).fit(data)

    def fit(self, data: ListeningData, progress: Progress | None = None) -> GroupPopularity:
        self._learn(data)
        worth = expected_listeners(data.catalogue, data.listeners)
        self._share = worth / worth.sum()
        codes = getattr(data.catalogue, self.by)
        self._group = one_of_many(np.where(codes >= 0, codes, codes.max(initial=-1) + 1))
        self._group_share = np.maximum(self._group.T @ self._share, 1e-12)
        return self

    def score_histories(self, histories: list[np.ndarray]) -> np.ndarray:
        heard: sp.csr_matrix = recency_query(histories, len(self._share), None)
        counts = (heard @ self._group).toarray()
        n = counts.sum(1, keepdims=True)
        lift = (counts / self._group_share + self.strength) / (n + self.strength)
        return (lift @ self._group.T) * self._share


def expected_listeners(catalogue: Catalogue, listeners: np.ndarray) -> np.ndarray:
    """float64 [I], above 0: listeners of each track; of one without, the mean of the tracks of its artist that have
    some, then of its genre, then of all."""
    heard = listeners > 0
    worth = np.where(heard, listeners, np.nan).astype(np.float64)
    for codes in (catalogue.artist, catalogue.genre):
        inside = heard & (codes >= 0)
        size = int(codes.max(initial=-1)) + 1
        n = np.bincount(codes[inside], minlength=size)
        total = np.bincount(codes[inside], listeners[inside], minlength=size)
        mean = np.append(np.divide(total, n, out=np.full(size, np.nan), where=n > 0), np.nan)  # the last: code -1
        worth = np.where(np.isnan(worth), mean[codes], worth)
    return np.where(np.isnan(worth), listeners[heard].mean() if heard.any() else 1.0, worth)
