"""Any recommender with its lists re-ranked for diversity."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from models.recommend.base import UNRANKED, CatalogueRecommender, Requests
from models.recommend.diversify import Diversity, diversify
from models.recommend.similarity import Similarity, sounds_of
from models.vocabulary import tie_order


class Diversified:
    """Implements :class:`models.recommend.base.Recommender`: the first ``places`` places are picked from the best
    ``how.pool`` tracks of ``model``, the others of these follow in the model's order.

    Scores stay those of the model, so that they do not fall from place to place. A cap holds within the ``places``.
    """

    def __init__(self, model: CatalogueRecommender, how: Diversity | None = None, places: int = 10):
        if places < 1:
            raise ValueError(f"Diversified: places {places} must be at least 1")
        self.model, self.how, self.places = model, how or Diversity(), places
        self.name = f"{model.name}_{self.how.method}_{self.how.tradeoff:g}"

    @cached_property
    def _sounds(self) -> np.ndarray:
        return sounds_of(self.model.catalogue)

    def recommend(self, requests: Requests, k: int) -> tuple[np.ndarray, np.ndarray]:
        ids, scores = self.model.recommend(requests, max(k, self.how.pool))
        return self.rerank(ids, scores, k)

    def rerank(self, ids: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Lists of the model (object and float [B, n], best first, "" for none) as :meth:`recommend` answers them."""
        out, values = np.full((len(ids), k), "", dtype=object), np.full((len(ids), k), UNRANKED, np.float32)
        for row, (listed, score) in enumerate(zip(ids, scores, strict=True)):
            n = int((listed != "").sum())
            order = self._order(listed[:n], score[:n])[:k]
            out[row, : len(order)], values[row, : len(order)] = listed[order], score[order]
        return out, values

    def _order(self, listed: np.ndarray, score: np.ndarray) -> np.ndarray:
        pool = min(self.how.pool, len(listed))
        catalogue = self.model.catalogue
        tracks = catalogue.vocabulary.lookup(listed[:pool].tolist())
        similarity = Similarity.of_catalogue(catalogue, tracks, self._sounds)
        ties = tie_order(listed[:pool].tolist())
        picked = diversify(score[:pool], similarity, self.places, self.how, catalogue.artist[tracks], ties)
        rest = np.setdiff1d(np.arange(len(listed)), picked)
        return np.concatenate([picked, rest])
