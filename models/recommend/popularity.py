"""The same list for everybody: the most listened tracks. The floor every model has to clear."""

from __future__ import annotations

import numpy as np

from models.data import Catalogue, ListeningData
from models.recommend.base import CatalogueRecommender, Progress, Queries


class Popularity(CatalogueRecommender):
    """Ranks by distinct listeners (plays would let one obsessive listener choose for all), then by plays."""

    name = "popularity"

    def fit(self, data: ListeningData, progress: Progress | None = None) -> Popularity:
        return self.fit_listeners(data.catalogue, data.listeners + data.plays / (data.plays.max(initial=0) + 1.0))

    def fit_listeners(self, catalogue: Catalogue, listeners: np.ndarray) -> Popularity:
        """From counts alone, one a track: what a hold-out carries."""
        self._learn_catalogue(catalogue)
        self._score = np.asarray(listeners, np.float32)
        return self

    def scores(self, queries: Queries) -> np.ndarray:
        return np.broadcast_to(self._score, (len(queries), len(self._score)))
