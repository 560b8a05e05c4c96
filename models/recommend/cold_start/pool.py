"""How much each source counts, by the number of plays known: a log-linear pool fit by maximum likelihood.

    P(next track j | request) proportional to exp(sum_k theta_k phi_k(j))

over the whole catalogue, or what of it a request does not exclude, phi the sources' scores. At each knot (a number of
plays known) theta is fit on listeners the sources have not seen, by Newton's method: the problem is convex. Between
knots theta is linear in log(1 + plays), so a listener is handed from one source to the next without a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pool:
    """knots: ascending plays; theta: float64 [knots, K]."""

    knots: tuple[int, ...]
    theta: np.ndarray

    def at(self, plays: np.ndarray) -> np.ndarray:
        """float64 [B, K]: the weights for requests with so many plays."""
        where, knots = np.log1p(plays), np.log1p(self.knots)
        return np.stack([np.interp(where, knots, column) for column in self.theta.T], 1)


def fit_theta(
    phi: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    penalty: float,
    start: np.ndarray,
    excluded: Sequence[np.ndarray] | None = None,
    rounds: int = 25,
) -> np.ndarray:
    """float64 [K]: the penalised maximum of the mean log likelihood of listeners' truths.

    phi: per listener float32 [K, I]; truths: per listener the tracks that came (indices, at least one), each listener
    counting once in all; penalty: on the squared distance from ``start`` (float [K]), as if of one listener; excluded:
    per listener the tracks that could not come, none of them a truth.
    """
    theta, n = np.array(start, np.float64), len(phi)
    excluded = [np.zeros(0, np.int64)] * n if excluded is None else excluded

    def likelihood(at: np.ndarray):
        return _likelihood(at, phi, truths, excluded, penalty / n, start)

    value, gradient, hessian = likelihood(theta)
    for _ in range(rounds):
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while scale > 1e-4:
            found = likelihood(theta + scale * step)
            if found[0] >= value:
                break
            scale /= 2
        else:
            break
        gain, theta = found[0] - value, theta + scale * step
        value, gradient, hessian = found
        if gain < 1e-7:
            break
    return theta


def _likelihood(theta, phi, truths, excluded, penalty: float, start) -> tuple[float, np.ndarray, np.ndarray]:
    """-> value, gradient [K] and negated Hessian [K, K] of the objective."""
    k = len(theta)
    away = theta - start
    value = -penalty * float(away @ away)
    gradient, hessian = -2 * penalty * away, 2 * penalty * np.eye(k)
    for rows, truth, hidden in zip(phi, truths, excluded, strict=True):
        logits = theta.astype(np.float32) @ rows
        logits[hidden] = -np.inf
        logits -= logits.max()
        chance = np.exp(logits)
        total = float(chance.sum())
        chance /= total
        mean = rows @ chance
        value += float(logits[truth].mean() - np.log(total)) / len(phi)
        gradient += (rows[:, truth].mean(1) - mean) / len(phi)
        hessian += ((rows * chance) @ rows.T - np.outer(mean, mean)) / len(phi)
    return value, gradient, hessian
