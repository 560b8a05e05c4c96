"""Do probabilities mean what they say: reliability, scores with intervals, and two ways to put them right.

Scores: Brier (1950), logarithmic loss, and the expected calibration error over bins of equal mass (Naeini et al. 2015;
equal mass as in Nixon et al. 2019). Calibrators are fit on a part of their own, neither the model's training part nor
the test part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from models.evaluation.bootstrap import RESAMPLES, Interval, draw_means, interval_of, recentred

if TYPE_CHECKING:
    import pandas as pd

BINS = 15
CLIP = 1e-12  # the logarithmic loss of a probability of 0 or 1 that was wrong is that of this


@dataclass(frozen=True)
class Calibration:
    """How calibrated one model's probabilities are.

    bins: columns lo, hi (probabilities), predicted (mean), observed (share of outcomes), observed_lo, observed_hi
    (95 %), n; ece in probability, log_loss in nats; brier_skill: 1 - Brier / Brier of always saying the base rate, so
    0 is no better than that; base_rate: share of positive outcomes; n: rows.
    """

    model: str
    ece: Interval
    brier: Interval
    log_loss: Interval
    brier_skill: Interval
    base_rate: float
    n: int
    bins: pd.DataFrame

    @property
    def metrics(self) -> dict[str, Interval]:
        return {"ece": self.ece, "brier": self.brier, "log_loss": self.log_loss, "brier_skill": self.brier_skill}

    def flat(self) -> dict[str, float]:
        """Metric names as they are logged, with ``_lo`` and ``_hi``."""
        return {
            f"{name}{suffix}": getattr(interval, part)
            for name, interval in self.metrics.items()
            for suffix, part in (("", "value"), ("_lo", "lo"), ("_hi", "hi"))
        }


def calibration(
    model: str,
    probabilities: np.ndarray,
    outcomes: np.ndarray,
    groups: np.ndarray | None = None,
    bins: int = BINS,
    resamples: int = RESAMPLES,
) -> Calibration:
    """Judge probabilities (float [N] in 0..1) against outcomes (0 or 1, [N]).

    groups: who each row is of ([N], such as the user); rows of one user are not independent, so whole users are
    resampled. Without groups rows are, at about 20 s per million. The bins are fixed before resampling; ECE grows with
    the noise in the bins, so its draws are put round the value. Raises ValueError for lengths that differ, nothing at
    all, and values out of range.
    """
    p, y = _checked(probabilities, outcomes)
    bin_of, edges = equal_mass(p, bins)
    n_bins = len(edges) - 1
    unit = np.arange(len(p)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    if len(unit) != len(p):
        raise ValueError(f"groups: {len(unit)} for {len(p)} rows; one is needed for each")
    clipped = np.clip(p, CLIP, 1 - CLIP)
    rows = {"brier": (p - y) ** 2, "log_loss": -np.log(np.where(y == 1, clipped, 1 - clipped)), "outcome": y}
    columns = [np.bincount(unit, value) for value in rows.values()]
    cell, shape = unit * n_bins + bin_of, (int(unit.max()) + 1, n_bins)
    for value in (np.ones(len(p)), p, y):
        columns += list(np.bincount(cell, value, minlength=shape[0] * n_bins).reshape(shape).T)
    columns = np.stack(columns, 1)
    value = _scores(columns.mean(0)[None], n_bins)
    drawn = _scores(draw_means(columns, resamples=resamples)[0], n_bins)

    def interval(name: str) -> Interval:
        draws = np.maximum(recentred(value["ece"][0], drawn["ece"]), 0) if name == "ece" else drawn[name]
        return interval_of(float(value[name][0]), draws)

    observed = [
        interval_of(float(v), d[~np.isnan(d)]) for v, d in zip(value["observed"][0], drawn["observed"].T, strict=True)
    ]
    return Calibration(
        model, *(interval(name) for name in ("ece", "brier", "log_loss", "brier_skill")), float(y.mean()), len(p),
        _table(edges, value["predicted"][0], observed, np.bincount(bin_of, minlength=n_bins)),
    )  # fmt: skip


def _scores(means: np.ndarray, n_bins: int) -> dict[str, np.ndarray]:
    """Scores from mean sums per unit ([B, 3 + 3 bins]): totals, then count, probability and outcome of every bin."""
    brier, log_loss, outcome = means[:, :3].T
    count, predicted, observed = (means[:, 3 + i * n_bins : 3 + (i + 1) * n_bins] for i in range(3))
    n = count.sum(1)
    base = outcome / n
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "brier": brier / n,
            "log_loss": log_loss / n,
            "brier_skill": np.where(base * (1 - base) > 0, 1 - brier / n / (base * (1 - base)), 0.0),
            "ece": np.abs(observed - predicted).sum(1) / n,
            "predicted": predicted / count,
            "observed": observed / count,
        }


def _table(edges, predicted, observed: list[Interval], n) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "lo": edges[:-1],
            "hi": edges[1:],
            "predicted": predicted,
            "observed": [o.value for o in observed],
            "observed_lo": [o.lo for o in observed],
            "observed_hi": [o.hi for o in observed],
            "n": n,
        }
    )


def equal_mass(p: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """-> (bin of every value int64 [N], edges float64 [B + 1]): about as many values in each of at most ``bins`` bins.

    Equal values share a bin, so there are fewer bins where many are equal.
    """
    if bins < 1:
        raise ValueError(f"bins: {bins}; at least one is needed")
    starts = np.unique(np.quantile(p, np.arange(bins) / bins, method="higher"))
    return np.searchsorted(starts[1:], p, side="right"), np.append(starts, p.max())


def _checked(probabilities: np.ndarray, outcomes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(probabilities, np.float64).ravel(), np.asarray(outcomes, np.float64).ravel()
    if len(p) != len(y) or not len(p):
        raise ValueError(f"calibration: {len(p)} probabilities for {len(y)} outcomes; as many, and some, are needed")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            f"probabilities: {p[~((p >= 0) & (p <= 1))][0]} is not between 0 and 1; pass logits through a sigmoid"
        )
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"outcomes: {y[~np.isin(y, (0, 1))][0]} is neither 0 nor 1")
    return p, y


def top_label(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of many classes (float [N, C], labels int [N]): the confidence in the likeliest one and whether it was right.

    Both float64 [N], to be judged as :func:`calibration` judges two classes (top-label calibration, Guo et al. 2017).
    """
    best = np.argmax(probabilities, axis=1)
    return np.asarray(probabilities, np.float64)[np.arange(len(best)), best], (best == np.asarray(labels)).astype(float)


class Calibrator(Protocol):
    """Something that puts probabilities right. Applying one needs numpy alone."""

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """float64, the shape of ``probabilities``."""
        ...


@dataclass(frozen=True)
class Platt:
    """sigmoid(slope * logit(p) + intercept) (Platt 1999, on log-odds); two parameters, for little data."""

    slope: float
    intercept: float

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        from scipy.special import expit

        return expit(self.slope * _logit(probabilities) + self.intercept)


@dataclass(frozen=True)
class Isotonic:
    """A monotone step-wise linear map (Zadrozny & Elkan 2002); for about a thousand outcomes or more."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        return np.interp(np.asarray(probabilities, np.float64), self.x, self.y)


def fit_platt(probabilities: np.ndarray, outcomes: np.ndarray) -> Platt:
    """Fit on the calibration part, with Platt's smoothed targets, so that a separable part has a finite answer."""
    from sklearn.linear_model import LogisticRegression

    p, y = _checked(probabilities, outcomes)
    positive = y.sum()
    target = np.where(y == 1, (positive + 1) / (positive + 2), 1 / (len(y) - positive + 2))
    logits = np.concatenate([_logit(p)] * 2)[:, None]
    model = LogisticRegression(C=np.inf)
    model.fit(logits, np.repeat([1, 0], len(p)), sample_weight=np.concatenate([target, 1 - target]))
    return Platt(float(model.coef_[0, 0]), float(model.intercept_[0]))


def fit_isotonic(probabilities: np.ndarray, outcomes: np.ndarray) -> Isotonic:
    """Fit on the calibration part."""
    from sklearn.isotonic import IsotonicRegression

    p, y = _checked(probabilities, outcomes)
    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, y)
    return Isotonic(tuple(map(float, model.X_thresholds_)), tuple(map(float, model.y_thresholds_)))


def _logit(probabilities: np.ndarray) -> np.ndarray:
    from scipy.special import logit

    return logit(np.clip(np.asarray(probabilities, np.float64), CLIP, 1 - CLIP))
