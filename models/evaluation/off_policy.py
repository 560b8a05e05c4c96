"""What another policy would have earned, from what was shown, how it was answered and how likely it was shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.evaluation.bootstrap import RESAMPLES, Interval, draw_means, interval_of


def ips(
    rewards: Sequence[float], propensities: Sequence[float], wanted: Sequence[float], resamples: int = RESAMPLES
) -> Interval:
    """Mean of reward * wanted / propensity (Horvitz & Thompson 1952): unbiased where the logging policy may show all
    that the other one would.

    propensities: chance with which each was shown; wanted: chance with which the other policy would have shown it.
    The interval is a bootstrap over what was shown. Raises ValueError for a propensity outside (0, 1].
    """
    rewards, weights = _weighed(rewards, propensities, wanted)
    values = rewards * weights
    return interval_of(float(values.mean()), draw_means(values[:, None], resamples=resamples)[0][:, 0])


def snips(
    rewards: Sequence[float], propensities: Sequence[float], wanted: Sequence[float], resamples: int = RESAMPLES
) -> Interval:
    """Self-normalised (Swaminathan & Joachims 2015): a little biased in few samples, of less variance, never outside
    the range of the rewards. Raises ValueError where the other policy would have shown none of it."""
    rewards, weights = _weighed(rewards, propensities, wanted)
    if not weights.sum() > 0:
        raise ValueError(
            "snips: the other policy would have shown nothing of what was logged; log with more exploration"
        )
    means, _ = draw_means(np.stack([rewards * weights, weights], 1), resamples=resamples)
    drawn = np.divide(means[:, 0], means[:, 1], out=np.zeros(len(means)), where=means[:, 1] > 0)
    return interval_of(float((rewards * weights).sum() / weights.sum()), drawn)


def effective_size(propensities: Sequence[float], wanted: Sequence[float]) -> float:
    """Samples of the other policy that the weighted ones are worth (Kish 1965)."""
    _, weights = _weighed(np.zeros(len(propensities)), propensities, wanted)
    return float(weights.sum() ** 2 / max((weights**2).sum(), 1e-300))


def _weighed(rewards, propensities, wanted) -> tuple[np.ndarray, np.ndarray]:
    rewards, propensities, wanted = (np.asarray(x, np.float64) for x in (rewards, propensities, wanted))
    if not len(rewards) == len(propensities) == len(wanted) > 0:
        raise ValueError(
            f"off-policy: {len(rewards)} rewards, {len(propensities)} propensities and {len(wanted)} chances; one each"
        )
    bad = np.flatnonzero(~((propensities > 0) & (propensities <= 1 + 1e-9)))
    if len(bad):
        raise ValueError(f"off-policy: propensity {propensities[bad[0]]} of row {bad[0]} is not above 0 and up to 1")
    return rewards, wanted / propensities
