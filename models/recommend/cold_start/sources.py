"""What the pool of the cold start is made of: every source as one score of every track, new ones included."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from models.context import PROFILE_FIELDS
from models.data import ListeningData
from models.recommend.base import UNRANKED, CatalogueRecommender, Queries
from models.recommend.cold_start.config import ColdStartConfig
from models.recommend.cold_start.content import TrackNames, codes_of, content_matrix
from models.recommend.cold_start.mapping import ContentMap
from models.recommend.cold_start.taste import TasteTree
from models.recommend.interactions import recency_query, user_item_matrix

OF_NEW = ("content", "popularity", "taste")
NAMES = (
    "base",
    "base_order",
    "content",
    "popularity",
    *(f"segment_{f}" for f in PROFILE_FIELDS),
    "taste",
    "again",
    "new",
    *(f"new_{source}" for source in OF_NEW),
)
"""base: the wrapped model's scores, those of new tracks mapped from content, standardised per request; base_order:
-log(rank) by them; content: all of them mapped, so that a track is judged by its like; popularity: log listeners;
segment_*: log lift of the listener's segment; taste: of the listener's own genres and artists over the segment's;
again: log of 1 + plays in the history; new: 1 for a track without a play; new_*: that source again, of such tracks
alone, since the base's order says little of them."""


class Sources:
    """A fitted base and what is counted beside it, on the same plays."""

    def __init__(
        self, base: CatalogueRecommender, data: ListeningData, config: ColdStartConfig, names: TrackNames | None
    ):
        self.base, self.config = base, config
        catalogue, listeners = data.catalogue, data.listeners
        content = content_matrix(catalogue, names, config.words)
        self.mapping = ContentMap(content, catalogue, listeners, config.mapping)
        self._new = self.mapping.new.astype(np.float32)
        known = np.log(np.maximum(listeners, 0.5)).astype(np.float32)
        self._popularity = self.mapping.filled(known[:, None])[:, 0]
        genre = catalogue.genre if names is None else codes_of(names.subgenre)
        genre = genre if (genre >= 0).any() else catalogue.genre
        self.tree = TasteTree(genre, catalogue.artist, np.exp(self._popularity))
        matrix = user_item_matrix(data)
        self._segments = [self._of_segments(matrix, data.profiles[:, i]) for i in range(len(PROFILE_FIELDS))]

    def _of_segments(self, matrix: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
        """float32 [S + 1, I]: the lifts of every segment of a field; the last row, of the unknown, is 0."""
        known = np.flatnonzero(codes >= 0)
        shape = (int(codes.max(initial=-1)) + 2, len(codes))
        member = sp.csr_matrix((np.ones(len(known), np.float32), (codes[known], known)), shape=shape)
        return self.tree.lifts(sp.csr_matrix(member @ matrix), None, self.config.segment)

    def phi(self, queries: Queries) -> np.ndarray:
        """float32 [B, K, I], in the order of ``NAMES``."""
        n, n_tracks = len(queries), len(self._new)
        base = self._standardised(np.asarray(self.base.scores(queries), np.float32))
        content = self.mapping.predicted(base.T).T
        base = np.where(self._new > 0, content, base)
        order = np.empty_like(base)
        np.put_along_axis(order, np.argsort(-base, axis=1), -np.log1p(np.arange(n_tracks, dtype=np.float32))[None], 1)
        segments = [table[self._rows(table, queries.profile[:, i])] for i, table in enumerate(self._segments)]
        counts = recency_query(queries.histories, n_tracks, None)
        taste = self.tree.lifts(counts, sum(segments), self.config.own)
        again = np.zeros((n, n_tracks), np.float32)
        for row, history in zip(again, queries.histories, strict=True):
            np.add.at(row, history, 1)
        popularity, new = (np.broadcast_to(x, base.shape) for x in (self._popularity, self._new))
        known = [base, order, content, popularity, *segments, taste, np.log1p(again), new]
        return np.stack([*known, content * new, popularity * new, taste * new], 1)

    def _standardised(self, scores: np.ndarray) -> np.ndarray:
        """Rows of mean 0 and deviation 1 over the played tracks; what is not ranked scores as the least that is."""
        ranked = (scores > UNRANKED / 2) & np.isfinite(scores) & (self._new == 0)
        count = np.maximum(ranked.sum(1, keepdims=True), 1)
        least = np.where(ranked, scores, np.inf).min(1, keepdims=True)
        scores = np.where(ranked, scores, np.where(np.isfinite(least), least, 0))
        played = self._new == 0
        mean = np.where(ranked, scores, 0).sum(1, keepdims=True) / count
        spread = np.sqrt(np.where(ranked, (scores - mean) ** 2, 0).sum(1, keepdims=True) / count)
        return np.where(played, (scores - mean) / np.maximum(spread, 1e-12), 0).astype(np.float32)

    @staticmethod
    def _rows(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return np.where((codes >= 0) & (codes < len(table) - 1), codes, len(table) - 1)
