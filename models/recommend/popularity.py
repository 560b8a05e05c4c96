"""The same list for everybody: the most listened tracks. The floor every model has to clear."""

from __future__ import annotations

import numpy as np

from models.data import ListeningData
from models.recommend.base import CatalogueRecommender, Progress


class Popularity(CatalogueRecommender):
    """Ranks by distinct listeners (plays would let one obsessive listener choose for all), then by plays."""

    name = "popularity"

    def fit(self, data: ListeningData, progress: Progress | None = None) -> Popularity:
        self._learn_catalogue(data)
        self._score = (data.listeners + data.plays / (data.plays.max(initial=0) + 1.0)).astype(np.float32)
        return self

    def scores(self, histories: list[np.ndarray], hours: np.ndarray, devices: list[str]) -> np.ndarray:
        return np.broadcast_to(self._score, (len(histories), len(self._score)))
