"""Any model, with new tracks scored by what content says of them (see :mod:`models.recommend.cold_start.mapping`)."""

from __future__ import annotations

import numpy as np

from models.data import ListeningData
from models.recommend.base import UNRANKED, CatalogueRecommender, Progress, Queries
from models.recommend.cold_start.content import TrackNames, content_matrix
from models.recommend.cold_start.mapping import ContentMap, MappingConfig


class ContentMapped(CatalogueRecommender):
    """``base``, whose settings are used, ranks the played tracks as it does; new ones stand where its scores of tracks
    like them put them. For a model of factors that is the vector predicted from content.

    >>> model = ContentMapped(Ease(EaseConfig()), names=names).fit(data)
    """

    def __init__(
        self,
        base: CatalogueRecommender,
        config: MappingConfig | None = None,
        names: TrackNames | None = None,
        words: int = 256,
    ):
        super().__init__()
        self._settings = base, config, names, words
        self.name = f"{base.name}_mapped"

    def fit(self, data: ListeningData, progress: Progress | None = None) -> ContentMapped:
        base, config, names, words = self._settings
        self._learn(data)
        self._base = base.refit(data, progress)
        self._map = ContentMap(content_matrix(data.catalogue, names, words), data.catalogue, data.listeners, config)
        return self

    def refit(self, data: ListeningData, progress: Progress | None = None) -> ContentMapped:
        return ContentMapped(*self._settings).fit(data, progress)

    def scores(self, queries: Queries) -> np.ndarray:
        scores = np.asarray(self._base.scores(queries), np.float32)
        unranked = ~self._map.new & ~(scores > UNRANKED / 2)  # NaN too
        filled = self._map.filled(np.where(unranked, 0, scores).T).T
        return np.where(unranked, UNRANKED, filled)
