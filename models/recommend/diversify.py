"""Re-ranking of a scored list: less of the same, and at most so many tracks of one artist.

Both ways pick greedily, the best next track given those picked. **MMR** (Carbonell & Goldstein 1998, "The use of MMR,
diversity-based reranking") takes

    tradeoff * score - (1 - tradeoff) * similarity to the most similar of those picked.

**DPP** (greedy MAP of a determinantal point process, Chen, Zhang & Zhou 2018, "Fast greedy MAP inference for
determinantal point process") takes what most raises

    tradeoff * sum of scores + (1 - tradeoff) * log det(similarities among those picked),

the determinant grown by a Cholesky factor, O(k N) a pick. Scores are scaled to 0..1 over the list, so that they stand
beside similarities whatever the model's scale. With ``tradeoff`` 1 the order of the scores stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.recommend.base import UNRANKED
from models.recommend.similarity import Similarity

TIE = 1e-9  # values that differ by less are equal, so that the order of the input does not show through rounding
LEAST = 1e-10  # of a determinant's factor: a track that is like those picked adds log of this
METHODS = ("mmr", "dpp")


@dataclass(frozen=True)
class Diversity:
    """method: "mmr" or "dpp"; tradeoff: 1 scores alone, 0 diversity alone; artist_cap: tracks of one artist in a list,
    None for no cap; pool: best tracks that are re-ranked."""

    method: str = "mmr"
    tradeoff: float = 0.9
    artist_cap: int | None = 2
    pool: int = 100

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"Diversity.method: {self.method!r} is none of {', '.join(METHODS)}")
        if not 0 <= self.tradeoff <= 1:
            raise ValueError(f"Diversity.tradeoff: {self.tradeoff} is not from 0 (diversity) to 1 (scores)")
        if self.artist_cap is not None and self.artist_cap < 1:
            raise ValueError(f"Diversity.artist_cap: {self.artist_cap} must be at least 1, or None for no cap")
        if self.pool < 1:
            raise ValueError(f"Diversity.pool: {self.pool} must be at least 1")


def diversify(
    scores: np.ndarray,
    similarity: Similarity,
    k: int,
    how: Diversity | None = None,
    artists: np.ndarray | None = None,
    ties: np.ndarray | None = None,
) -> np.ndarray:
    """int64 [<= k]: places of the picked candidates, in order.

    scores: float [N], higher is better; NaN, -inf and ``UNRANKED`` are never picked. artists: int [N], -1 unknown
    (not capped). ties: int [N], which of equal candidates comes first (their places by default). There are fewer than k
    where the candidates, or the cap, give no more.
    """
    how = how or Diversity()
    scores = np.asarray(scores, np.float64)
    n = len(scores)
    for name, values in (("similarity", similarity), ("artists", artists), ("ties", ties)):
        if values is not None and len(values) != n:
            raise ValueError(f"diversify: {name} is of {len(values)} tracks, scores of {n}")
    if k < 0:
        raise ValueError(f"diversify: k {k} is below 0")
    open_ = np.isfinite(scores) & (scores > UNRANKED)
    order = np.arange(n) if ties is None else np.asarray(ties)
    picked = _Picked(open_, artists, how.artist_cap, order, scores)
    worth = how.tradeoff * _scaled(scores, open_)
    if how.method == "mmr":
        return _greedy(worth, _mmr(similarity, 1 - how.tradeoff), picked, k)
    return _greedy(worth, _dpp(similarity, 1 - how.tradeoff, min(k, n)), picked, k)


class _Picked:
    """Which candidates may still be picked, and which is the best of them."""

    def __init__(self, open_: np.ndarray, artists, cap: int | None, ties: np.ndarray, scores: np.ndarray):
        self._open, self._ties, self._cap, self._scores = open_.copy(), ties, cap, scores
        self._artists = None if artists is None or cap is None else np.asarray(artists)
        self._counts: dict[int, int] = {}

    def best(self, value: np.ndarray) -> int:
        """-1 where none is left. Of equal values the higher score, then the lower tie."""
        value = np.where(self._open, value, -np.inf)
        top = value.max(initial=-np.inf)
        if top == -np.inf:
            return -1
        among = np.flatnonzero(value >= top - TIE)
        if len(among) > 1:
            among = among[np.lexsort((self._ties[among], -self._scores[among]))]
        return int(among[0])

    def take(self, one: int) -> None:
        self._open[one] = False
        if self._artists is None or self._artists[one] < 0:
            return
        artist = int(self._artists[one])
        self._counts[artist] = self._counts.get(artist, 0) + 1
        if self._counts[artist] >= self._cap:
            self._open &= self._artists != artist


def _greedy(worth: np.ndarray, malus_after: Callable[[int], np.ndarray], picked: _Picked, k: int) -> np.ndarray:
    out: list[int] = []
    value = worth
    while len(out) < k:
        best = picked.best(value)
        if best < 0:
            break
        out.append(best)
        picked.take(best)
        if len(out) < k:
            value = worth - malus_after(best)
    return np.array(out, np.int64)


def _mmr(similarity: Similarity, weight: float) -> Callable[[int], np.ndarray]:
    most = np.zeros(len(similarity))

    def after(picked: int) -> np.ndarray:
        if weight:
            np.maximum(most, similarity.row(picked), out=most)
        return weight * most

    return after


def _dpp(similarity: Similarity, weight: float, k: int) -> Callable[[int], np.ndarray]:
    """-weight * log d², d² what is left of each track that those picked cannot say (1 for all at the start)."""
    n = len(similarity)
    rows, left = np.zeros((k, n)), np.ones(n)
    done = 0

    def after(picked: int) -> np.ndarray:
        nonlocal done, left
        if not weight:
            return np.zeros(n)
        residual = similarity.row(picked) - rows[:done, picked] @ rows[:done]
        rows[done] = residual / np.sqrt(max(left[picked], LEAST))
        left = left - rows[done] ** 2
        done += 1
        return -weight * np.log(np.maximum(left, LEAST))

    return after


def _scaled(scores: np.ndarray, open_: np.ndarray) -> np.ndarray:
    """Scores of the open candidates as 0..1, all 0 where they are equal."""
    if not open_.any():
        return np.zeros(len(scores))
    lo, hi = scores[open_].min(), scores[open_].max()
    if not hi > lo:
        return np.zeros(len(scores))
    return np.where(open_, (scores - lo) / (hi - lo), 0.0)
