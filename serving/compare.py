"""Is the canary worse than the stable version? Two-sample tests on what the API counted of both.

A difference speaks against the canary only where it is both significant (one-sided p below `alpha`) and large enough
to matter. A version that answers as well as the stable one is rolled back by chance in at most 3 `alpha` of trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.evaluation.drift import ks, psi
from serving.traffic import Traffic

TAIL = 0.95


@dataclass(frozen=True)
class Thresholds:
    """What counts as worse.

    Args:
        alpha: significance of each test.
        error_margin: difference of the shares of requests that the model did not answer.
        latency_ratio: 95th percentile of the canary's seconds, over that of the stable version.
        psi: population stability index of the top scores; 0.25 is the usual mark of another distribution. A model
            trained in another way may well score on another scale: raise it for such a trial.
    """

    alpha: float = 0.01
    error_margin: float = 0.005
    latency_ratio: float = 1.25
    psi: float = 0.25


@dataclass(frozen=True)
class Finding:
    """One comparison: the figure of both sides, p of the test, and whether it speaks against the canary."""

    name: str
    stable: float
    canary: float
    p_value: float
    worse: bool
    text: str


def compare(stable: Traffic, canary: Traffic, limits: Thresholds | None = None) -> list[Finding]:
    """Errors, latency and scores of both sides."""
    limits = limits or Thresholds()
    return [_errors(stable, canary, limits), _latency(stable, canary, limits), _scores(stable, canary, limits)]


def more_errors(stable: Traffic, canary: Traffic, alpha: float) -> bool:
    """Whether errors alone condemn the canary, before it has had all its requests."""
    return _errors(stable, canary, Thresholds(alpha=alpha)).worse


def _errors(stable: Traffic, canary: Traffic, limits: Thresholds) -> Finding:
    """Fisher's exact test of the shares of unanswered requests."""
    old, new = _share(stable.errors, stable.requests), _share(canary.errors, canary.requests)
    p = _fisher(canary.errors, canary.requests, stable.errors, stable.requests)
    worse = p < limits.alpha and new - old > limits.error_margin
    text = f"errors {new:.2%} of {canary.requests:.0f}, stable {old:.2%} of {stable.requests:.0f} (p = {p:.3g})"
    return Finding("errors", old, new, p, worse, text)


def _latency(stable: Traffic, canary: Traffic, limits: Thresholds) -> Finding:
    """Fisher's exact test of the shares slower than the bound that 95 % of the stable version's answers keep."""
    old, new = stable.latency.quantile(TAIL), canary.latency.quantile(TAIL)
    if not (stable.latency.total and canary.latency.total) or stable.latency.bounds != canary.latency.bounds:
        return Finding("latency", old, new, 1.0, False, "latency: nothing to compare")
    kept = np.cumsum(stable.latency.counts) >= TAIL * stable.latency.total
    place = int(np.argmax(kept))
    slow = [sum(one.latency.counts[place + 1 :]) for one in (stable, canary)]
    p = _fisher(slow[1], canary.latency.total, slow[0], stable.latency.total)
    worse = p < limits.alpha and new > limits.latency_ratio * old
    text = f"p95 {new * 1000:.1f} ms, stable {old * 1000:.1f} ms (p = {p:.3g})"
    return Finding("latency", old, new, p, worse, text)


def _scores(stable: Traffic, canary: Traffic, limits: Thresholds) -> Finding:
    """Population stability index of the top scores, and Kolmogorov-Smirnov."""
    if stable.scores.bounds != canary.scores.bounds or not (stable.scores.total and canary.scores.total):
        return Finding("scores", 0.0, 0.0, 1.0, False, "scores: nothing to compare")
    old, new = np.array(stable.scores.counts), np.array(canary.scores.counts)
    moved, (d, p) = psi(old, new), ks(old, new)
    medians = stable.scores.quantile(0.5), canary.scores.quantile(0.5)
    text = f"scores: PSI {moved:.3f}, KS D = {d:.3f} (p = {p:.3g}), median {medians[1]:.3g}, stable {medians[0]:.3g}"
    return Finding("scores", *medians, p, p < limits.alpha and moved >= limits.psi, text)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _fisher(hits: float, rows: float, other_hits: float, other_rows: float) -> float:
    """One-sided p that `hits` of `rows` are no larger a share than `other_hits` of `other_rows`."""
    from scipy.stats import hypergeom

    hits, rows, other_hits, other_rows = (round(value) for value in (hits, rows, other_hits, other_rows))
    if not rows or not other_rows:
        return 1.0
    return float(hypergeom.sf(hits - 1, rows + other_rows, min(hits + other_hits, rows + other_rows), rows))
