"""Percentile bootstrap over users (Efron & Tibshirani 1993, chapters 13 and 16).

All statistics of one sample are drawn from the same resamples, and every sample of the same size is resampled alike: so
the draws of two models on the same users are paired, and their difference needs no further resampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

RESAMPLES = 1000
SEED = 20240501
ROUNDING = 1e-12
BLOCK = 1 << 23  # weights held at once: 64 MB


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


@dataclass(frozen=True)
class Difference(Interval):
    """A paired difference. p_value: two-sided, 2 min(share of draws <= 0, share >= 0) with one added to numerator and
    denominator (Davison & Hinkley 1997, section 4.2), at most 1."""

    p_value: float = 1.0


def resample_weights(n: int, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """int64 [n] per resample: how often each user was drawn."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(0, n, n), minlength=n)


def draw_means(
    columns: np.ndarray,
    top: np.ndarray | None = None,
    n_items: int = 0,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[np.ndarray, np.ndarray]:
    """Means of every column (float64 [n, m]) and the coverage of ``top`` (int [n, k], -1 for none) in every resample.

    Returns float64 [resamples, m] and [resamples]; the latter is 0 throughout without ``top``. Up to 64 resamples are
    computed at once: one matrix product for the means, one bit each for who was drawn.
    """
    columns = np.ascontiguousarray(columns, dtype=np.float64)
    n = len(columns)
    means, covered = np.empty((resamples, columns.shape[1])), np.zeros(resamples)
    listed = None if top is None else _Listed(top)
    weights = resample_weights(n, resamples, seed)
    block = min(max(BLOCK // max(n, 1), 1), 64)
    for start in range(0, resamples, block):
        drawn = np.stack([w.astype(np.float64) for w in islice(weights, block)])
        rows = slice(start, start + len(drawn))
        means[rows] = (drawn @ columns) / n
        if listed is not None:
            covered[rows] = listed.distinct(drawn > 0) / n_items
    return means, covered


class _Listed:
    """Who lists each track, to count the distinct tracks in the lists of many sets of users at once."""

    def __init__(self, top: np.ndarray):
        listed = top >= 0
        items = top[listed]
        order = np.argsort(items, kind="stable")
        self._users = np.nonzero(listed)[0][order]
        self._starts = np.flatnonzero(np.diff(items[order], prepend=-1))

    def distinct(self, drawn: np.ndarray) -> np.ndarray:
        """int64 [b]: distinct tracks in the lists of the users where a row of ``drawn`` (bool [b <= 64, n]) is true."""
        if not len(self._users):
            return np.zeros(len(drawn), np.int64)
        bits = np.zeros(drawn.shape[1], np.uint64)
        for index, row in enumerate(drawn):
            bits |= row.astype(np.uint64) << np.uint64(index)
        by_track = np.bitwise_or.reduceat(bits[self._users], self._starts)
        return np.array([(by_track >> np.uint64(index) & np.uint64(1)).sum() for index in range(len(drawn))], np.int64)


def interval_of(value: float, draws: np.ndarray) -> Interval:
    """The percentile interval of the draws; without draws the interval has no width."""
    if not len(draws):
        return Interval(value, value, value)
    lo, hi = np.percentile(draws, [2.5, 97.5])
    return Interval(value, float(lo), float(hi))


def difference_of(value: float, draws: np.ndarray) -> Difference:
    """The interval and p-value of a difference, from its paired draws; what is 0 but for rounding counts as 0."""
    plain, n = interval_of(value, draws), len(draws)
    draws = np.where(np.abs(draws) < ROUNDING, 0.0, draws)
    share = min((draws <= 0).sum() + 1, (draws >= 0).sum() + 1) / (n + 1)
    return Difference(plain.value, plain.lo, plain.hi, float(min(1.0, 2 * share)))


def recentred(value: float, draws: np.ndarray) -> np.ndarray:
    """Draws of a statistic that is smaller in a resample than in the sample (such as coverage), put round ``value``."""
    return draws - draws.mean() + value if len(draws) else draws


def mean_interval(values: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
    """95 % interval of the mean of one value a user."""
    values = np.asarray(values, dtype=np.float64)
    means, _ = draw_means(values[:, None], resamples=resamples, seed=seed)
    return interval_of(float(values.mean()), means[:, 0])


def paired_interval(
    baseline: np.ndarray, candidate: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED
) -> Difference:
    """95 % interval of mean(candidate - baseline), the same users drawn for both."""
    if len(baseline) != len(candidate):
        raise ValueError(
            f"paired comparison: {len(baseline)} users against {len(candidate)}; both must be the same users"
        )
    difference = np.asarray(candidate, np.float64) - np.asarray(baseline, np.float64)
    means, _ = draw_means(difference[:, None], resamples=resamples, seed=seed)
    return difference_of(float(difference.mean()), means[:, 0])


def coverage_interval(top: np.ndarray, n_items: int, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
    """Share of the catalogue in the users' top lists (int [U, k], -1 for none).

    Coverage is no mean over users and a resample holds fewer distinct users than the sample, so the interval is that
    of (resample - mean of resamples), put round the value of the sample.
    """
    _, drawn = draw_means(np.zeros((len(top), 0)), top, n_items, resamples, seed)
    value = coverage(top, n_items)
    return interval_of(value, recentred(value, drawn))


def coverage(top: np.ndarray, n_items: int) -> float:
    """Share of the catalogue's ``n_items`` in the lists (int [U, k], -1 for none)."""
    seen = np.zeros(n_items + 1, dtype=bool)
    seen[top] = True  # -1 (none) falls into the extra last cell
    return float(seen[:n_items].sum() / n_items)
