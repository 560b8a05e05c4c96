"""Has a distribution moved? Population stability index and Kolmogorov-Smirnov between a reference and a sample.

PSI = Σ (q - p) ln(q / p) over bins, with p the reference's and q the sample's shares (Lewis 1994, An Introduction to
Credit Scoring). Usual reading: below 0.1 stable, 0.1 to 0.25 moved, from 0.25 another distribution. Under equal
distributions its mean is about (B - 1) (1/n + 1/m) for B bins (it is asymptotically a scaled chi-square, Yurdakul
2018), so a small sample looks moved when it is not: that much is taken off before it is read.

KS: D = max |F - G|, p by the asymptotic distribution with n m / (n + m) rows (Smirnov 1948). On large samples any
difference is significant, so a difference counts as a move only where D is large, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOVED, OTHER = 0.1, 0.25
"""PSI from which a column has moved, and from which it is another distribution."""

KS_D = 0.1
"""Largest difference of the cumulative distributions from which a numeric column has moved."""

ALPHA = 0.01
"""Share of false alarms that is accepted for all columns together (Holm's correction)."""

BINS = 10
_LEAST = 0.5  # counts: an empty bin would make PSI infinite
MISSING, REST = "(missing)", "(others)"
_CATEGORIES = 20


@dataclass(frozen=True)
class Drift:
    """How far one column is from its reference.

    kind: "numeric" or "categories". psi: bias taken off, at least 0. statistic: D of Kolmogorov-Smirnov, for categories
    the largest difference of a share; p_value: of KS, for categories of the chi-square test of homogeneity.
    bins: labels of the bins; reference, sample: their shares. rows: of reference and sample.
    """

    column: str
    kind: str
    psi: float
    statistic: float
    p_value: float
    bins: tuple[str, ...]
    reference: tuple[float, ...]
    sample: tuple[float, ...]
    rows: tuple[int, int]

    @property
    def effect(self) -> str:
        """The size of the difference, whatever its significance: "stable", "moved" or "other"."""
        if self.psi >= OTHER:
            return "other"
        large = self.kind == "numeric" and self.statistic >= KS_D
        return "moved" if self.psi >= MOVED or large else "stable"


def psi(reference: np.ndarray, sample: np.ndarray) -> float:
    """PSI of two arrays of counts [B], its expectation under equal distributions taken off, at least 0.

    >>> round(psi(np.array([500, 500]), np.array([500, 500])), 3)
    0.0
    >>> psi(np.array([900, 100]), np.array([500, 500])) > 0.25
    True
    """
    n, m = reference.sum(), sample.sum()
    if not n or not m:
        return 0.0
    used = (reference + sample) > 0
    p, q = np.maximum(reference[used], _LEAST) / n, np.maximum(sample[used], _LEAST) / m
    bias = (used.sum() - 1) * (1 / n + 1 / m)
    return max(0.0, float(np.sum((q - p) * np.log(q / p)) - bias))


def ks(reference: np.ndarray, sample: np.ndarray) -> tuple[float, float]:
    """(D, p) of two arrays of counts [B] over the same ordered bins; binned, D is a lower bound and p an upper one."""
    from scipy.stats import kstwobign

    n, m = reference.sum(), sample.sum()
    if not n or not m:
        return 0.0, 1.0
    d = float(np.max(np.abs(np.cumsum(reference) / n - np.cumsum(sample) / m)))
    return d, float(kstwobign.sf(d * np.sqrt(n * m / (n + m))))


def chi_square(reference: np.ndarray, sample: np.ndarray) -> float:
    """p of the test that two arrays of counts [B] are of one distribution."""
    from scipy.stats import chi2

    used = (reference + sample) > 0
    table = np.stack([reference[used], sample[used]]).astype(float)
    totals = table.sum(axis=1, keepdims=True)
    if used.sum() < 2 or not totals.all():
        return 1.0
    expected = totals * table.sum(axis=0) / table.sum()
    return float(chi2.sf(((table - expected) ** 2 / expected).sum(), used.sum() - 1))


def numeric_drift(column: str, reference: np.ndarray, sample: np.ndarray) -> Drift:
    """Drift of numbers [N] against [M]; NaN is "missing", a bin of its own. Bins are deciles of the reference."""
    known, found = reference[np.isfinite(reference)], sample[np.isfinite(sample)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.array([])
    old, new = _counted(known, edges), _counted(found, edges)
    d, p = _exact_ks(known, found)
    missing = np.array([len(reference) - len(known)]), np.array([len(sample) - len(found)])
    labels = [f"≤ {edge:.4g}" for edge in edges] + [f"> {edges[-1]:.4g}" if len(edges) else "all"]
    old, new = np.concatenate([old, missing[0]]), np.concatenate([new, missing[1]])
    return _drift(column, "numeric", d, p, [*labels, MISSING], old, new)


def category_drift(column: str, reference: Sequence[str | None], sample: Sequence[str | None]) -> Drift:
    """Drift of categories; None is "missing". Beyond the twenty most frequent of the reference they count as one."""
    old_values, old_counts = np.unique([MISSING if v is None else str(v) for v in reference], return_counts=True)
    new = dict(zip(*np.unique([MISSING if v is None else str(v) for v in sample], return_counts=True), strict=True))
    order = np.argsort(-old_counts, kind="stable")[:_CATEGORIES]
    kept = [str(old_values[i]) for i in order]
    old = np.array([old_counts[i] for i in order] + [old_counts.sum() - old_counts[order].sum()])
    found = np.array([new.get(name, 0) for name in kept])
    found = np.append(found, len(sample) - found.sum())
    shares = np.abs(old / max(old.sum(), 1) - found / max(found.sum(), 1))
    return _drift(column, "categories", float(shares.max(initial=0)), chi_square(old, found), [*kept, REST], old, found)


def alarms(found: Sequence[Drift], alpha: float = ALPHA) -> list[Drift]:
    """The columns that have moved beyond chance, largest PSI first.

    A column counts where its difference is large (``effect`` is not "stable") and significant: p-values are corrected
    for the number of columns (Holm 1979), so that all of them together give a false alarm in ``alpha`` of cases at
    most.
    """
    significant, ordered = set(), sorted(found, key=lambda one: one.p_value)
    for place, one in enumerate(ordered):
        if one.p_value * (len(ordered) - place) > alpha:
            break
        significant.add(one.column)
    moved = [one for one in found if one.column in significant and one.effect != "stable"]
    return sorted(moved, key=lambda one: -one.psi)


def _counted(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


def _exact_ks(reference: np.ndarray, sample: np.ndarray) -> tuple[float, float]:
    values, places = np.unique(np.concatenate([reference, sample]), return_inverse=True)
    if not len(values):
        return 0.0, 1.0
    old = np.bincount(places[: len(reference)], minlength=len(values))
    new = np.bincount(places[len(reference) :], minlength=len(values))
    return ks(old, new)


def _drift(column: str, kind: str, statistic: float, p: float, bins: list[str], old, new) -> Drift:
    p = min(p, chi_square(old, new)) if kind == "numeric" and old[-1] + new[-1] else p
    used = [i for i in range(len(bins)) if old[i] or new[i]]
    n, m = int(old.sum()), int(new.sum())
    shares = [tuple(float(counts[i]) / max(total, 1) for i in used) for counts, total in ((old, n), (new, m))]
    return Drift(column, kind, psi(old, new), statistic, p, tuple(bins[i] for i in used), *shares, (n, m))
