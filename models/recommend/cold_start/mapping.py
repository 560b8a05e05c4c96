"""From content to what listening would say (van den Oord, Dieleman & Schrauwen 2013), artist and album by artist and
album.

The value v_i of a played track (a vector of factors, or its scores for many listeners) is modelled as

    v_i = W f_i + a(artist of i) + b(album of i) + e_i

W by ridge regression over the played tracks, each weighted by n / (n + doubt) for its n listeners; the artist and
album parts are the weighted mean of what is left, shrunk to zero: sum w r / (sum w + shrinkage). Everything is linear
in the values with weights that do not depend on them: a model whose score is an inner product with an item vector gives
the same scores whether its vectors or its scores are mapped. So any model's scores can be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from models.data import Catalogue


@dataclass(frozen=True)
class MappingConfig:
    """``ridge``: penalty on W; ``doubt``: listeners at which a track's value is half trusted; ``artist``, ``album``:
    trusted tracks at which the mean of an artist or album counts half."""

    ridge: float = 30.0
    doubt: float = 5.0
    artist: float = 0.5
    album: float = 2.0

    def __post_init__(self) -> None:
        for name in ("ridge", "doubt", "artist", "album"):
            if getattr(self, name) <= 0:
                raise ValueError(f"MappingConfig.{name}: {getattr(self, name)} must be above 0")


class ContentMap:
    """Fit on which tracks are played and by how many; then maps any values of them.

    >>> mapped = ContentMap(content_matrix(data.catalogue), data.catalogue, data.listeners)
    >>> vectors = mapped.filled(model.factors)  # new tracks have vectors too
    """

    def __init__(
        self, content: sp.csr_matrix, catalogue: Catalogue, listeners: np.ndarray, config: MappingConfig | None = None
    ):
        self.config = config = config or MappingConfig()
        self.weights = (listeners / (listeners + config.doubt)).astype(np.float32)
        self.new = np.asarray(listeners) == 0
        # A column of ones that is hardly penalised: the mean of the values.
        self._content = sp.hstack([content, np.full((len(catalogue), 1), 30.0)], format="csr", dtype=np.float32)
        weighted = sp.diags(self.weights) @ self._content
        system = (self._content.T @ weighted).toarray().astype(np.float64)
        system[np.diag_indices_from(system)] += config.ridge
        self._fit = scipy.linalg.solve(system, weighted.T.toarray(), assume_a="pos").astype(np.float32)
        self._groups = [
            _Means(codes, self.weights, shrinkage)
            for codes, shrinkage in ((catalogue.artist, config.artist), (catalogue.album, config.album))
            if (codes >= 0).any()
        ]

    def predicted(self, values: np.ndarray) -> np.ndarray:
        """float32 [I, R]: what content, artist and album say of every track, from values [I, R] of the played ones."""
        values = np.where(self.new[:, None], 0, values).astype(np.float32)
        out = self._content @ (self._fit @ values)
        for group in self._groups:
            out = out + group.shrunk(np.where(self.new[:, None], 0, values - out))
        return out.astype(np.float32)

    def filled(self, values: np.ndarray) -> np.ndarray:
        """float32 [I, R]: the values themselves of the tracks that are played, the predicted of the others."""
        return np.where(self.new[:, None], self.predicted(values), values).astype(np.float32)


class _Means:
    """Weighted means of a group of tracks, shrunk to zero and given back to each of its tracks."""

    def __init__(self, codes: np.ndarray, weights: np.ndarray, shrinkage: float):
        known = np.flatnonzero(codes >= 0)
        shape = (len(codes), int(codes.max()) + 1)
        member = sp.csr_matrix((np.ones(len(known), np.float32), (known, codes[known])), shape=shape)
        sums = (member.T @ sp.diags(weights)).tocsr()
        total = np.asarray(sums.sum(1)).ravel()
        self._member, self._sums = member, sp.csr_matrix(sp.diags(1 / (total + shrinkage)) @ sums, dtype=np.float32)

    def shrunk(self, values: np.ndarray) -> np.ndarray:
        return self._member @ (self._sums @ values)
