"""Implicit matrix factorisation by alternating least squares (Hu, Koren & Volinsky 2008), fit by Spark MLlib.

MLlib minimises, over listeners u with n_u tracks and tracks i with n_i listeners,

    sum over all (u, i) of c_ui (p_ui - x_u . y_i)^2 + regularization (sum_u n_u |x_u|^2 + sum_i n_i |y_i|^2)

with p_ui = 1 and c_ui = 1 + alpha r_ui where u played i, p_ui = 0 and c_ui = 1 where not (the penalty weighted by
counts is that of Zhou et al. 2008). Spark is needed to fit only. A listener is answered by solving their own normal
equations, given the track factors Y:

    (Y'Y + sum_i w_i alpha r_i y_i y_i' + regularization sum_i w_i I) x = sum_i w_i (1 + alpha r_i) y_i

which is what MLlib itself solves for a listener when every w_i = 1: whoever it was fit on gets the same factor, and
whoever is new or has played on since gets the one they would have had. With a half-life, w_i = 0.5^(age / half_life) of
the latest play moves a track smoothly between "played" (w = 1) and "never played" (w = 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from models.data import ListeningData
from models.limits import at_least
from models.recommend.base import Progress
from models.recommend.by_history import HistoryRecommender
from models.recommend.interactions import play_counts, popularity_prior, recency_query
from models.recommend.space import Choice, Real, Space, Whole

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

RATINGS = ("binary", "log")


@dataclass(frozen=True)
class AlsConfig:
    """Defaults were chosen on the validation tail of real listening (28 k tracks, 3 k users, of them 1,000 sampled)
    from 8 fits, each asked at several half-lives. What mattered: recency (next NDCG@10 .036 without, .151 with a
    half-life of half a play), a high ``alpha``, which lets recent plays outweigh the rest, and rank (128 above 64).

    ``rating``: r of a track played n times, "binary" 1 or "log" 1 + ln n. ``half_life``: plays after which a play
    counts half when a listener is answered; None: all the same. ``blocks``: parts that MLlib works on at a time."""

    rank: int = 128
    iterations: int = 8
    regularization: float = 0.01
    alpha: float = 40.0
    rating: str = "binary"
    half_life: float | None = 0.5
    blocks: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rating not in RATINGS:
            raise ValueError(f"AlsConfig.rating: {self.rating!r}; use {' or '.join(RATINGS)}")
        at_least(1, self, "rank", "iterations", "blocks")
        for name in ("regularization", "alpha"):
            if getattr(self, name) <= 0:
                raise ValueError(f"AlsConfig.{name}: {getattr(self, name)} must be above 0")


ALS_SPACE: Space = {
    "rank": Whole(16, 256, log=True),
    "regularization": Real(1e-3, 1.0, log=True),
    "alpha": Real(1.0, 100.0, log=True),
    "rating": Choice(RATINGS),
    "half_life": Real(0.5, 50.0, log=True),
}


class Als(HistoryRecommender):
    """ALS of MLlib, answered in numpy from a listener's plays alone.

    ``factors`` float32 [I, rank] are those of the tracks, zero where nobody played one.
    """

    def __init__(self, config: AlsConfig | None = None):
        super().__init__()
        self.config = config or AlsConfig()
        self.name = "als" if self.config.half_life is None else "als_recent"

    def fit(self, data: ListeningData, progress: Progress | None = None) -> Als:
        """In the process's Spark session, which is started if there is none."""
        self._learn(data)
        self._prior = popularity_prior(data)
        rated = ratings(data, self.config)  # starts Spark, which the estimator needs
        fitted = self._estimator().fit(rated)
        found = fitted.itemFactors.toPandas()
        self.factors = np.zeros((data.n_tracks, self.config.rank), np.float32)
        self.factors[found["id"].to_numpy()] = np.stack(found["features"].to_numpy())
        self._gram = self.factors.astype(np.float64).T @ self.factors
        return self

    def _estimator(self):
        from pyspark.ml.recommendation import ALS

        config = self.config
        return ALS(
            rank=config.rank,
            maxIter=config.iterations,
            regParam=config.regularization,
            alpha=config.alpha,
            implicitPrefs=True,
            numUserBlocks=config.blocks,
            numItemBlocks=config.blocks,
            seed=config.seed,
        )

    def fold_in(self, histories: list[np.ndarray]) -> np.ndarray:
        """float64 [B, rank]: the factor of each listener; zero without plays."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):  # systems this small lose more to waiting threads than they gain
            return self._solved(histories)

    def _solved(self, histories: list[np.ndarray]) -> np.ndarray:
        weights = recency_query(histories, len(self.catalogue), self.config.half_life)
        counts = [np.unique(history, return_counts=True)[1] for history in histories]
        out = np.zeros((len(histories), self.config.rank))
        identity = np.eye(self.config.rank)
        for row in range(len(histories)):
            tracks = weights.indices[weights.indptr[row] : weights.indptr[row + 1]]
            if not len(tracks):
                continue
            weight = weights.data[weights.indptr[row] : weights.indptr[row + 1]].astype(np.float64)
            confidence = self.config.alpha * rating(counts[row], self.config)  # both in the order of track indices
            factors = self.factors[tracks].astype(np.float64)
            penalty = self.config.regularization * weight.sum() * identity
            system = self._gram + (factors.T * (weight * confidence)) @ factors + penalty
            out[row] = np.linalg.solve(system, (weight * (1.0 + confidence)) @ factors)
        return out

    def score_histories(self, histories: list[np.ndarray]) -> np.ndarray:
        return self.fold_in(histories).astype(np.float32) @ self.factors.T + self._prior


def rating(counts: np.ndarray, config: AlsConfig) -> np.ndarray:
    """r of tracks played ``counts`` times."""
    return np.ones(len(counts)) if config.rating == "binary" else 1.0 + np.log(counts)


def ratings(data: ListeningData, config: AlsConfig) -> DataFrame:
    """Spark rows user, item (indices) and rating, one a listener and track they played."""
    import pandas as pd

    from lakehouse.spark import get_spark

    counts: sp.coo_matrix = play_counts(data).tocoo()
    frame = pd.DataFrame(
        {
            "user": counts.row.astype(np.int32),
            "item": counts.col.astype(np.int32),
            "rating": rating(counts.data, config).astype(np.float32),
        }
    )
    return get_spark().createDataFrame(frame)
