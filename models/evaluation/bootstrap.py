"""Percentile bootstrap over users (Efron & Tibshirani 1993, chapters 13 and 16)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
SEED = 20240501


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    lo: float
    hi: float

    def excludes_zero(self) -> bool:
        return self.lo > 0 or self.hi < 0

    def __format__(self, sign: str) -> str:
        """``f"{interval}"``, or ``f"{interval:+}"`` with signs, for a difference."""
        return f"{self.value:{sign}.4f} [{self.lo:{sign}.4f}, {self.hi:{sign}.4f}]"

    def __str__(self) -> str:
        return format(self)


def resample_weights(n: int, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """int64 [n] per resample: how often each user was drawn."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(0, n, n), minlength=n)


def mean_interval(values: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
    """95 % interval of the mean of one value a user."""
    values = np.asarray(values, dtype=np.float64)
    means = np.array([weights @ values for weights in resample_weights(len(values), resamples, seed)]) / len(values)
    lo, hi = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(lo), float(hi))


def paired_interval(
    baseline: np.ndarray, candidate: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED
) -> Interval:
    """95 % interval of mean(candidate - baseline), the same users drawn for both."""
    if len(baseline) != len(candidate):
        raise ValueError(
            f"paired comparison: {len(baseline)} users against {len(candidate)}; both must be the same users"
        )
    return mean_interval(np.asarray(candidate, np.float64) - np.asarray(baseline, np.float64), resamples, seed)


def coverage_interval(top: np.ndarray, n_items: int, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
    """Share of the catalogue in the users' top lists (int [U, k], -1 for none).

    Coverage is no mean over users and a resample holds fewer distinct users than the sample, so the interval is that
    of (resample - mean of resamples), put round the value of the sample.
    """
    drawn = np.empty(resamples)
    for index, weights in enumerate(resample_weights(len(top), resamples, seed)):
        drawn[index] = _coverage(top[weights > 0], n_items)
    value = _coverage(top, n_items)
    lo, hi = value + np.percentile(drawn - drawn.mean(), [2.5, 97.5])
    return Interval(value, float(lo), float(hi))


def _coverage(top: np.ndarray, n_items: int) -> float:
    seen = np.zeros(n_items + 1, dtype=bool)
    seen[top] = True  # -1 (none) falls into the extra last cell
    return float(seen[:n_items].sum() / n_items)
