"""Exploration: some places of a list are filled by chance, and how likely each choice was is written down with it.

Without logged propensities nothing can be learned later about tracks that the model would not have shown (inverse
propensity scoring, Horvitz & Thompson 1952; for lists Swaminathan et al. 2017, "Off-policy evaluation for slate
recommendation"). All propensities here are exact: no sampling, no estimate.

The draw is without replacement, each track by its weight among those left (Plackett 1975, Luce 1959), done by Gumbel
noise (Yellott 1977; Kool et al. 2019, "Stochastic beams and where to find them"). A track of weight w rings like a
clock of rate w, and the order of the rings is the draw; so the chance that track i comes t-th is

    integral over x > 0 of w_i exp(-w_i x) * P(exactly t - 1 of the others rang before x),

a Poisson-binomial probability under one integral. In log x the integrand is smooth and vanishes at both ends, where the
trapezoid rule converges geometrically: :func:`place_chances` is exact to about 1e-12.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FLOOR = 1e-9  # of a weight, as a share of the largest: every track of the pool keeps a chance that can be divided by
STEP = 0.25  # of the trapezoid rule, in log time


@dataclass(frozen=True)
class Exploration:
    """slots: places of the list, from 0, that may be explored. pool: the best tracks behind the list that may come
    there, beside those that stand there. epsilon: chance that a request explores at all (its slots together).
    temperature: of a softmax of the scores, the draw's weights; None draws evenly.
    """

    slots: tuple[int, ...] = (7, 9)
    pool: int = 50
    epsilon: float = 0.2
    temperature: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if list(self.slots) != sorted(set(self.slots)) or min(self.slots, default=0) < 0:
            raise ValueError(f"Exploration.slots: {self.slots} must be places from 0 on, ascending, none twice")
        if self.pool < 0:
            raise ValueError(f"Exploration.pool: {self.pool} is below 0")
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"Exploration.epsilon: {self.epsilon} is not from 0 to 1")
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"Exploration.temperature: {self.temperature} must be above 0, or None for an even draw")

    @property
    def policy(self) -> str:
        """As logged with what was shown."""
        draw = "uniform" if self.temperature is None else f"softmax {self.temperature:g}"
        return f"explore {draw} epsilon {self.epsilon:g}"


@dataclass(frozen=True)
class Shown:
    """A list as shown, K places.

    place: int64 [K], the rank (from 0) that each track had; explored: bool [K], the slots; propensity: float64 [K],
    chance over all draws that this track stands in this place (1 outside the slots); given: float64 [K], the same given
    what stands in the slots before it. The product of ``given`` is the chance of the whole list.
    """

    place: np.ndarray
    explored: np.ndarray
    propensity: np.ndarray
    given: np.ndarray


def explore(scores: Sequence[float], k: int, request_id: str, how: Exploration | None = None) -> Shown:
    """The first ``k`` of a ranked list with its slots explored; the same for the same seed and request id.

    scores: float [N] of the ranked list, best first, finite; N is at most k + pool that matter. Tracks that stand in
    the slots can be drawn too: without exploration (chance 1 - epsilon) the list stays as it was.
    """
    how = how or Exploration()
    scores = np.asarray(scores, np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("explore: a score is not finite; leave out tracks that are not ranked")
    n = min(k, len(scores))
    slots = np.array([slot for slot in how.slots if slot < n], np.int64)
    place, explored = np.arange(n), np.zeros(n, bool)
    propensity, given = np.ones(n), np.ones(n)
    pool = np.concatenate([slots, np.arange(n, min(len(scores), n + how.pool))])
    if len(slots) and len(pool) > len(slots):
        rng = generator(how.seed, request_id)
        weights = weights_of(scores[pool], how.temperature)
        drawn = draw(weights, len(slots), rng) if rng.random() < how.epsilon else np.arange(len(slots))
        place[slots], explored[slots] = pool[drawn], True
        propensity[slots], given[slots] = chances(weights, drawn, how.epsilon)
    return Shown(place, explored, propensity, given)


def generator(seed: int, request_id: str) -> np.random.Generator:
    """Chance of one request: no request's draw tells another's, and each can be repeated."""
    digest = hashlib.blake2b(f"{seed}:{request_id}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def weights_of(scores: np.ndarray, temperature: float | None) -> np.ndarray:
    """float64 [N], summing to 1: exp(score / temperature), none below ``FLOOR`` of the largest; alike for None."""
    if temperature is None:
        return np.full(len(scores), 1 / len(scores))
    weights = np.maximum(np.exp((scores - scores.max()) / temperature), FLOOR)
    return weights / weights.sum()


def draw(weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """int64 [n]: places drawn without replacement, in order, by Gumbel top-k."""
    return np.argsort(-(np.log(weights) + rng.gumbel(size=len(weights))), kind="stable")[:n]


def chances(weights: np.ndarray, shown: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """(float64 [T], float64 [T]): chance of each shown place of the pool in its slot, over all, and given those before.

    The first T places of the pool are what stands in the slots without exploration.
    """
    t = np.arange(len(shown))
    greedy = shown == t
    over_all = (1 - epsilon) * greedy + epsilon * place_chances(weights, shown)[t, t]
    left = weights.sum() - np.concatenate([[0.0], np.cumsum(weights[shown])[:-1]])
    drawn = np.cumprod(weights[shown] / left)
    together = (1 - epsilon) * np.cumprod(greedy) + epsilon * drawn  # of the first 1, 2, … slots as they are
    return over_all, together / np.concatenate([[1.0], together[:-1]])


def place_chances(weights: np.ndarray, of: np.ndarray) -> np.ndarray:
    """float64 [M, T]: chance that each of M places of the pool is drawn first, second, …, T-th; T = M.

    Ask for all of them (``of`` = arange(N)) and rows and columns sum to 1.
    """
    weights, t = np.asarray(weights, np.float64), len(of)
    if np.ptp(weights) == 0:
        return np.full((t, t), 1 / len(weights))
    low, high = np.log(1e-17 / weights.max()), np.log(45 / weights.min())
    time = np.exp(np.arange(low, high + STEP, STEP))  # [X]
    rang, waits = -np.expm1(-np.outer(weights, time)), np.exp(-np.outer(weights, time))  # [N, X]
    before = np.zeros((t, t, len(time)))  # [of, how many rang, X]
    before[:, 0] = 1.0
    for other in range(len(weights)):
        counted = (of != other)[:, None, None]
        grown = before * waits[other]
        grown[:, 1:] += before[:, :-1] * rang[other]
        before = np.where(counted, grown, before)
    rings = weights[of, None] * time * waits[of] * STEP
    return np.einsum("mx,mtx->mt", rings, before)
