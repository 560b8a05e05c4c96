"""How alike the tracks of a list are, a row at a time: what re-ranking by diversity asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.data import Catalogue

ARTIST, GENRE, SOUND = 0.5, 0.3, 0.2
"""What one artist, one genre and the same sound make of a similarity of 1."""


@dataclass(frozen=True)
class Similarity:
    """Similarities 0 to 1 of N tracks, 1 with themselves, as a positive semidefinite matrix that is never formed.

    codes: int [A, N], one attribute a row, -1 unknown (an unknown value equals no other); weights: float [A];
    vectors: float64 [N, D], unit rows (or rows of 0), and their weight. The weights sum to 1.

    A share of equal attributes is a sum of block matrices, and (1 + cosine) / 2 is a Gram matrix and a constant, so
    that the whole is a kernel a determinantal point process may take.
    """

    codes: np.ndarray
    weights: np.ndarray
    vectors: np.ndarray | None = None
    vector_weight: float = 0.0

    def __post_init__(self) -> None:
        total = float(np.sum(self.weights)) + self.vector_weight
        if len(self.weights) != len(self.codes):
            raise ValueError(f"similarity: {len(self.weights)} weights for {len(self.codes)} attributes; give one each")
        if min([*self.weights, self.vector_weight], default=0.0) < 0 or abs(total - 1) > 1e-6:
            raise ValueError(f"similarity: weights sum to {total:g} and must sum to 1, none below 0")

    def __len__(self) -> int:
        return self.codes.shape[1]

    @classmethod
    def of_vectors(cls, vectors: np.ndarray) -> Similarity:
        """(1 + cosine) / 2 of float [N, D]; rows of 0 are like nothing in particular (1/2)."""
        return cls(np.zeros((0, len(vectors)), np.int64), np.zeros(0), _unit(vectors), 1.0)

    @classmethod
    def of_attributes(cls, codes: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> Similarity:
        """Weighted share of equal attributes: int [N] each, -1 unknown; alike by default."""
        rows = np.stack([np.asarray(row) for row in codes])
        shares = np.full(len(rows), 1 / len(rows)) if weights is None else np.asarray(weights, np.float64)
        return cls(rows, shares)

    @classmethod
    def of_catalogue(cls, catalogue: Catalogue, tracks: np.ndarray, sounds: np.ndarray | None = None) -> Similarity:
        """Of int [N] tracks by artist, genre and sound, as far as the catalogue knows them.

        sounds: :func:`sounds_of` of the catalogue, to be made once where many lists are asked.
        """
        sounds = sounds_of(catalogue) if sounds is None else sounds
        parts = [(catalogue.artist, ARTIST), (catalogue.genre, GENRE)]
        parts = [(codes, weight) for codes, weight in parts if (codes >= 0).any()]
        of_sound = SOUND if sounds.shape[1] else 0.0
        total = sum(weight for _, weight in parts) + of_sound
        if not total:
            raise ValueError("similarity: the catalogue knows neither artist, genre nor sound of any track")
        codes = np.stack([c[tracks] for c, _ in parts]) if parts else np.zeros((0, len(tracks)), np.int32)
        vectors = sounds[tracks] if of_sound else None
        return cls(codes, np.array([weight for _, weight in parts]) / total, vectors, of_sound / total)

    def row(self, of: int) -> np.ndarray:
        """float64 [N]: of one track with each."""
        out = np.zeros(len(self))
        for codes, weight in zip(self.codes, self.weights, strict=True):
            if codes[of] >= 0:
                out += weight * (codes == codes[of])
        if self.vectors is not None:
            out += self.vector_weight * 0.5 * (1.0 + self.vectors @ self.vectors[of])
        out[of] = 1.0
        return out

    def matrix(self) -> np.ndarray:
        """float64 [N, N]."""
        return np.stack([self.row(i) for i in range(len(self))]) if len(self) else np.zeros((0, 0))

    def take(self, rows: np.ndarray) -> Similarity:
        """Of some of the tracks, in another order."""
        vectors = None if self.vectors is None else self.vectors[rows]
        return Similarity(self.codes[:, rows], self.weights, vectors, self.vector_weight)


def sounds_of(catalogue: Catalogue) -> np.ndarray:
    """float64 [I, D]: unit vectors of standardised acoustics, 0 where unknown; D is 0 where no track has any."""
    from models.recommend.towers import acoustic_inputs

    return _unit(acoustic_inputs(catalogue.acoustic))


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
