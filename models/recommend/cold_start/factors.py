"""Implicit factors whose tracks lean on a prior: zero, their content, or what another source of listening says.

Minimised in turns over listeners x_u and tracks v_i, with p = 1 and confidence c = 1 + alpha where u played i, p = 0
and c = 1 elsewhere (Hu, Koren & Volinsky 2008):

    sum c_ui (p_ui - x_u . v_i)^2 + regularization (sum |x_u|^2 + sum |v_i - m_i|^2)

m_i = 0 is the plain model. With content, m_i is what the content mapping says of the track, fit anew in every turn (in
the manner of collaborative topic regression, Wang & Blei 2011). With a source of transfer, m_i is the source's vector,
mapped from content where the source has none. A track nobody played is m_i, so new tracks have vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from models.data import ListeningData
from models.recommend.base import Progress
from models.recommend.by_history import HistoryRecommender
from models.recommend.cold_start.content import TrackNames, content_matrix
from models.recommend.cold_start.mapping import ContentMap, MappingConfig
from models.recommend.interactions import popularity_prior, recency_query, user_item_matrix


@dataclass(frozen=True)
class FactorsConfig:
    """rank: width of the vectors; content: whether tracks lean on their content; words: as in the cold start."""

    rank: int = 32
    iterations: int = 10
    regularization: float = 10.0
    alpha: float = 10.0
    content: bool = True
    words: int = 0
    mapping: MappingConfig = field(default_factory=MappingConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rank", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"FactorsConfig.{name}: {getattr(self, name)} must be at least 1")
        for name in ("regularization", "alpha"):
            if getattr(self, name) <= 0:
                raise ValueError(f"FactorsConfig.{name}: {getattr(self, name)} must be above 0")


class ContentFactors(HistoryRecommender):
    """``vectors`` float32 [I, rank] of all tracks, new ones too; ``source``: a fitted model over the same catalogue
    whose vectors are leaned on."""

    def __init__(
        self,
        config: FactorsConfig | None = None,
        names: TrackNames | None = None,
        source: ContentFactors | None = None,
    ):
        super().__init__()
        self.config, self._names, self._source = config or FactorsConfig(), names, source
        self.name = "factors" + ("_content" if self.config.content else "") + ("_transferred" if source else "")

    def refit(self, data: ListeningData, progress: Progress | None = None) -> ContentFactors:
        return ContentFactors(self.config, self._names, self._source).fit(data, progress)

    def fit(self, data: ListeningData, progress: Progress | None = None) -> ContentFactors:
        """Raises ValueError where the source of transfer has another catalogue."""
        self._learn(data)
        config, matrix = self.config, user_item_matrix(data)
        self._popular = popularity_prior(data)
        mapping = None
        if config.content:
            content = content_matrix(data.catalogue, self._names, config.words)
            mapping = ContentMap(content, data.catalogue, data.listeners, config.mapping)
        if self._source is None:
            rng = np.random.default_rng(config.seed)
            start = rng.normal(0, 0.1 / np.sqrt(config.rank), (data.n_tracks, config.rank)).astype(np.float32)
            lean = np.zeros_like(start)
        else:
            same_catalogue(self._source, data)
            start = lean = self._source.vectors
        self.vectors, by_track = start, matrix.T.tocsr()
        for turn in range(config.iterations):
            users = self._solved(self.vectors, matrix, None)
            if mapping is not None and turn and self._source is None:
                lean = mapping.predicted(self.vectors)
            self.vectors = self._solved(users, by_track, lean)
            if progress is not None:
                progress({"epoch": turn + 1, "moved": float(np.abs(self.vectors - lean).mean())})
        return self

    def _solved(self, other: np.ndarray, matrix: sp.csr_matrix, lean: np.ndarray | None) -> np.ndarray:
        """float32 [rows, rank]: each row's minimum given the other side's vectors."""
        alpha, lam = self.config.alpha, self.config.regularization
        gram = other.T @ other + lam * np.eye(other.shape[1], dtype=np.float32)
        right = (1 + alpha) * (matrix @ other)
        out = np.zeros_like(right) if lean is None else lean + 0.0
        if lean is not None:
            right = right + lam * lean
        for row in np.flatnonzero(np.diff(matrix.indptr)):
            mine = other[matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]]
            out[row] = scipy.linalg.solve(
                gram + alpha * (mine.T @ mine), right[row], assume_a="pos", check_finite=False
            )
        return out.astype(np.float32)

    def score_histories(self, histories: list[np.ndarray]) -> np.ndarray:
        query = recency_query(histories, len(self.vectors), None)
        return self._solved(self.vectors, query, None) @ self.vectors.T + self._popular


def same_catalogue(source, data: ListeningData) -> None:
    """Raises ValueError unless the fitted model ``source`` knows exactly the tracks of ``data``, in the same order."""
    if not np.array_equal(source.catalogue.ids, data.catalogue.ids):
        raise ValueError(
            f"transfer: {source.name} knows {len(source.catalogue):,} tracks that are not the {data.n_tracks:,} of the "
            "data; read both from one gold.track_features, where each track has one id"
        )
