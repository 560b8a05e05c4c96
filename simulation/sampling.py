"""Vectorised draws used all over the world."""

from __future__ import annotations

import numpy as np


class SegmentSampler:
    """Draw an element of a segment in proportion to its weight.

    ``weights`` [N] >= 0 are laid out segment after segment, ``bounds`` [segments + 1] says where each begins.
    """

    def __init__(self, weights: np.ndarray, bounds: np.ndarray):
        self._cumulative = np.concatenate([[0.0], np.cumsum(weights)])
        self._bounds = bounds
        self.total = np.diff(self._cumulative[bounds])  # [segments]

    def draw(self, rng: np.random.Generator, segment: np.ndarray) -> np.ndarray:
        """One element of each given segment (any shape); -1 where the segment weighs nothing."""
        low = self._cumulative[self._bounds[segment]]
        at = low + rng.random(segment.shape) * self.total[segment] * (1 - 1e-9)
        found = np.searchsorted(self._cumulative, at, side="right") - 1
        return np.where(self.total[segment] > 0, found, -1)


def draw_rows(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    """One column of each row of ``weights`` [R, C], in proportion; rows must not be all zero."""
    cumulative = np.cumsum(weights, axis=1)
    at = rng.random(len(weights)) * cumulative[:, -1] * (1 - 1e-12)
    return (cumulative <= at[:, None]).sum(axis=1)


def draw_cumulative(rng: np.random.Generator, cumulative: np.ndarray, draws: int) -> np.ndarray:
    """``draws`` columns for each row of cumulative weights [R, C] -> [R, draws]."""
    at = rng.random((len(cumulative), draws)) * cumulative[:, -1:] * (1 - 1e-12)
    return (cumulative[:, None, :] <= at[:, :, None]).sum(axis=2)


def best_of(rng: np.random.Generator, candidates: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Of each row of ``candidates`` [R, C] one, with softmax(score) chances (Gumbel-max); -1 only if all are -1."""
    noisy = np.where(candidates >= 0, score + rng.gumbel(size=score.shape), -np.inf)
    return candidates[np.arange(len(candidates)), noisy.argmax(axis=1)]
