"""How well activities are recognised on later plays, beside always saying the shares and the shares of the hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from models.context import FIELDS, UNKNOWN, Categories
from models.context.activity import ActivityClassifier, said
from models.context.session_shape import NAMES, of_plays
from models.data import ListeningData
from models.evaluation.bootstrap import Interval, mean_interval, paired_interval

if TYPE_CHECKING:
    import pandas as pd

SLICES = {"no play yet": (0, 0), "1-2 plays": (1, 2), "3-5 plays": (3, 5), "6 plays or more": (6, np.inf)}
METRICS = ("log_loss", "accuracy")


class ActivityShares:
    """Probabilities by counting: of all plays, or of those in the same hour."""

    def __init__(self, by_hour: bool):
        self.name = "hour only" if by_hour else "majority"
        self._by_hour = by_hour

    def fit(self, data: ListeningData) -> ActivityShares:
        plays = said(data)
        counts = np.zeros((25, len(data.context_fields.names["activity"])))  # the last row: no hour is known
        np.add.at(counts, (data.of_context("hour")[plays], data.of_context("activity")[plays]), 1)
        total = counts.sum(0) + 1
        counts = counts + total / total.sum() if self._by_hour else np.tile(total, (25, 1))
        self._shares = counts / counts.sum(1, keepdims=True)
        return self

    def probabilities(self, data: ListeningData, plays: np.ndarray) -> np.ndarray:
        return self._shares[data.of_context("hour")[plays]]


@dataclass(frozen=True)
class ActivityReport:
    """rows: columns model, slice, metric, value, lo, hi, plays; differences: the classifier against each baseline, by
    metric, paired over listeners; filled: share of the plays that would be filled in, and precision: of those, right.
    """

    rows: pd.DataFrame
    differences: Mapping[tuple[str, str], Interval]
    filled: Interval
    precision: Interval

    def overall(self) -> dict[str, float]:
        """The classifier's metrics over all plays, with the ends of their intervals as <metric>_lo and _hi."""
        rows = self.rows[(self.rows.model == "activity") & (self.rows.slice == "all")]
        return {
            f"{row.metric}{end}": float(getattr(row, name))
            for row in rows.itertuples()
            for end, name in (("", "value"), ("_lo", "lo"), ("_hi", "hi"))
        }

    def markdown(self) -> str:
        lines = [
            "| model | heard in the session | judged plays | log loss (nats) | accuracy | ECE |",
            "|---|---|---|---|---|---|",
        ]
        for (model, part), rows in self.rows.groupby(["model", "slice"], sort=False):
            scores = {r.metric: str(Interval(r.value, r.lo, r.hi)) for r in rows.itertuples()}
            cells = (model, part, f"{rows.plays.iloc[0]:,}", *(scores[metric] for metric in (*METRICS, "ece")))
            lines.append(f"| {' | '.join(cells)} |")
        lines += [""] + [
            f"- activity - {name}: {metric} {interval:+}" for (name, metric), interval in self.differences.items()
        ]
        lines.append(f"- filled in: {self.filled} of the plays, {self.precision} of those rightly")
        return "\n".join(lines)


def activity_report(
    classifier: ActivityClassifier, train: ListeningData, data: ListeningData, plays: np.ndarray
) -> ActivityReport:
    """Judge on some plays (ascending indices) of ``data``, all of which say the activity.

    ``data`` has the plays before those too, so that sessions are whole. Metrics are means over listeners; ECE is of the
    likeliest activity, over plays, listeners resampled. Baselines are counted on ``train``, what the classifier saw.
    """
    import pandas as pd

    from models.evaluation.calibration import calibration, top_label

    labels, users = data.of_context("activity")[plays], data.user_of_play[plays]
    heard = of_plays(data, plays)[:, NAMES.index("session plays")]
    models = {"majority": ActivityShares(False).fit(train), "hour only": ActivityShares(True).fit(train)}
    answers = {name: model.probabilities(data, plays) for name, model in (models | {"activity": classifier}).items()}
    rows, by_user = [], {}
    for name, probabilities in answers.items():
        for part, (low, high) in {"all": (0, np.inf), **SLICES}.items():
            inside = (heard >= low) & (heard <= high)
            if not inside.any():
                continue
            scores = _scores(probabilities[inside], labels[inside])
            for metric, values in scores.items():
                means = _by_user(values, users[inside])
                by_user[name, part, metric] = means
                interval = mean_interval(means)
                rows.append((name, part, metric, interval.value, interval.lo, interval.hi, int(inside.sum())))
            ece = calibration(name, *top_label(probabilities[inside], labels[inside]), users[inside]).ece
            rows.append((name, part, "ece", ece.value, ece.lo, ece.hi, int(inside.sum())))
    chosen = classifier.choose(answers["activity"])
    filled = chosen != UNKNOWN
    return ActivityReport(
        pd.DataFrame(rows, columns=["model", "slice", "metric", "value", "lo", "hi", "plays"]),
        {
            (name, metric): paired_interval(by_user[name, "all", metric], by_user["activity", "all", metric])
            for name in models
            for metric in METRICS
        },
        mean_interval(_by_user(filled.astype(float), users)),
        mean_interval(_by_user((chosen == labels)[filled].astype(float), users[filled]))
        if filled.any()
        else Interval(0.0, 0.0, 0.0),
    )


def listener_means(classifier: ActivityClassifier, data: ListeningData, plays: np.ndarray) -> dict[str, np.ndarray]:
    """Metric -> float [listeners with a play of ``plays``], in the same order for every classifier."""
    ours = Categories.of(("activity",), activity=classifier.activities)
    theirs = Categories.of(("activity",), activity=data.context_fields.names["activity"])
    labels = ours.recode(data.of_context("activity")[plays][:, None], theirs)[:, 0]
    scores = _scores(np.where(labels[:, None] >= 0, classifier.probabilities(data, plays), 0.0), labels)
    return {metric: _by_user(values, data.user_of_play[plays]) for metric, values in scores.items()}


def without_activity(data: ListeningData, users: np.ndarray) -> ListeningData:
    """``data`` with the activity unknown at all plays of some listeners (bool [U]): as if they did not share it."""
    context = data.context.copy()
    context[users[data.user_of_play], FIELDS.index("activity")] = UNKNOWN
    return replace(data, context=context)


def _scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    right = probabilities[np.arange(len(labels)), labels]
    return {
        "log_loss": -np.log(np.clip(right, 1e-12, 1)),
        "accuracy": (probabilities.argmax(1) == labels).astype(float),
    }


def _by_user(values: np.ndarray, users: np.ndarray) -> np.ndarray:
    """The mean of each listener who has a value."""
    count = np.bincount(users)
    return (np.bincount(users, values) / np.maximum(count, 1))[count > 0]
