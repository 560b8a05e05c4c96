"""Recommenders that need nothing of a request but the listener's plays."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from models.recommend.base import CatalogueRecommender, Queries


class HistoryRecommender(CatalogueRecommender):
    """Scores from the plays alone; the one place where such models meet the signature of ``scores``."""

    @abstractmethod
    def score_histories(self, histories: list[np.ndarray]) -> np.ndarray:
        """float [B, I], higher is better, for arrays of track indices, oldest first, possibly empty."""

    def scores(self, queries: Queries) -> np.ndarray:
        return self.score_histories(queries.histories)
