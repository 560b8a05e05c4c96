"""Implicit factors whose tracks lean on a prior: zero, their content, or what another source of listening says.

Minimised in turns over listeners x_u and tracks v_i, with p = 1 and confidence c = 1 + alpha where u played i, p = 0
and c = 1 elsewhere (Hu, Koren & Volinsky 2008):

    sum c_ui (p_ui - x_u . v_i)^2 + regularization (sum |x_u|^2 + sum |v_i - m_i|^2)

m_i = 0 is the plain model. With content, m_i is what the content mapping says of the track, fit anew in every turn (in
the manner of collaborative topic regression, Wang & Blei 2011). A track nobody played is m_i, so new tracks have
vectors.

With a source of transfer, m_i is the source's vector and the pull to it is as strong as what the source has seen of the
track: in place of regularization |v - m|^2 stands (v - m)' P (v - m), with P = regularization I + trust X' C_i X of the
source's listeners X and their confidences C_i, or without them where none of its listeners played the track.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from models.data import ListeningData
from models.limits import at_least
from models.recommend.base import Progress
from models.recommend.by_history import HistoryRecommender
from models.recommend.cold_start.content import TrackNames, content_matrix
from models.recommend.cold_start.mapping import ContentMap, MappingConfig
from models.recommend.interactions import popularity_prior, recency_query, user_item_matrix


@dataclass(frozen=True)
class FactorsConfig:
    """rank: width of the vectors; content: whether tracks lean on their content; words: as in the cold start; trust:
    what a listener of the source of a transfer counts beside one of the target."""

    rank: int = 32
    iterations: int = 10
    regularization: float = 10.0
    alpha: float = 10.0
    content: bool = True
    words: int = 0
    trust: float = 0.3
    mapping: MappingConfig = field(default_factory=MappingConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(1, self, "rank", "iterations")
        for name in ("regularization", "alpha", "trust"):
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
            users = self._solved(self.vectors, matrix)
            if mapping is not None and turn and self._source is None:
                lean = mapping.predicted(self.vectors)
            self.vectors = self._solved(users, by_track, lean, self._source)
            self._seen = users, by_track
            if progress is not None:
                progress({"epoch": turn + 1, "moved": float(np.abs(self.vectors - lean).mean())})
        return self

    def _solved(
        self,
        other: np.ndarray,
        matrix: sp.csr_matrix,
        lean: np.ndarray | None = None,
        source: ContentFactors | None = None,
    ) -> np.ndarray:
        """float32 [rows, rank]: each row's minimum given the other side's vectors; with ``lean`` the rows are tracks,
        pulled as hard as what ``source`` saw of them."""
        alpha, lam = self.config.alpha, self.config.regularization
        gram = other.T @ other + lam * np.eye(other.shape[1], dtype=np.float32)
        known = None
        if source is not None:
            theirs = source._seen[0].T @ source._seen[0]
            known = partial(source._precision, theirs, trust=self.config.trust)
        right = (1 + alpha) * (matrix @ other)
        out = np.zeros_like(right) if lean is None else lean + 0.0
        if lean is not None:
            right = right + lam * lean
        for row in np.flatnonzero(np.diff(matrix.indptr)):
            mine = other[matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]]
            left, told = gram + alpha * (mine.T @ mine), right[row]
            if known is not None and (more := known(row)) is not None:
                left, told = left + more, told + more @ lean[row]
            out[row] = scipy.linalg.solve(left, told, assume_a="pos", check_finite=False)
        return out.astype(np.float32)

    def _precision(self, gram: np.ndarray, row: int, trust: float) -> np.ndarray | None:
        """float32 [rank, rank]: what this model's listeners say of a track, beyond the penalty; None for nothing."""
        users, by_track = self._seen
        rows = by_track.indices[by_track.indptr[row] : by_track.indptr[row + 1]]
        if not len(rows):
            return None
        mine = users[rows]
        return trust * (gram + self.config.alpha * (mine.T @ mine))

    def score_histories(self, histories: list[np.ndarray]) -> np.ndarray:
        query = recency_query(histories, len(self.vectors), None)
        return self._solved(self.vectors, query) @ self.vectors.T + self._popular


def same_catalogue(source, data: ListeningData) -> None:
    """Raises ValueError unless the fitted model ``source`` knows exactly the tracks of ``data``, in the same order."""
    if not np.array_equal(source.catalogue.ids, data.catalogue.ids):
        raise ValueError(
            f"transfer: {source.name} knows {len(source.catalogue):,} tracks that are not the {data.n_tracks:,} of the "
            "data; read both from one gold.track_features, where each track has one id"
        )
