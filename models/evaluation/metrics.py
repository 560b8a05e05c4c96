"""How well a model ranks: two tasks, full catalogue, every figure with its bootstrap 95 % interval.

``next``: the very next play, repeats allowed, one target a user. ``discover``: all held-out tracks the user had never
played, the history excluded from the ranking; users without such a track are left out. :mod:`models.evaluation.ranking`
defines the metrics of a user.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.evaluation.bootstrap import (
    RESAMPLES,
    Difference,
    Interval,
    coverage,
    difference_of,
    draw_means,
    interval_of,
    paired_interval,
    recentred,
)
from models.evaluation.ranking import DEPTH, K, Ranked, accuracy, diversity, find_hits, has_attributes, novelty
from models.evaluation.split import HoldOut
from models.recommend.base import Recommender

TASKS = ("next", "discover")
PRIMARY = "discover_ndcg_at_10"
COVERAGE, LIFT = f"coverage_at_{K}", f"popularity_lift_at_{K}"


@dataclass(frozen=True)
class Evaluation:
    """How one model did on one hold-out.

    metrics: name such as ``discover_ndcg_at_10`` -> value with 95 % interval (no diversity where the catalogue knows
    neither artists nor genres); per_user: name -> float64, one value for every user the task scores, the same users in
    the same order for every model on the same hold-out (coverage and popularity lift are no means over users and are
    not there); seconds: what the model took to answer; draws: name -> float64 [resamples], the metric in every
    resample, so that models can be compared in pairs; ranked: task -> the hits and top lists; users: task -> object
    [S], ids of the users scored.
    """

    model: str
    metrics: dict[str, Interval]
    per_user: dict[str, np.ndarray] = field(repr=False)
    seconds: float = 0.0
    draws: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    ranked: dict[str, Ranked] = field(default_factory=dict, repr=False, compare=False)
    users: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def flat(self) -> dict[str, float]:
        """Metric names as they are logged: the value, and its interval as ``_lo`` and ``_hi``."""
        out = {}
        for name, interval in self.metrics.items():
            out |= {name: interval.value, f"{name}_lo": interval.lo, f"{name}_hi": interval.hi}
        return out


@dataclass(frozen=True)
class Measured:
    """Metrics of one task without its prefix, as in :class:`Evaluation`."""

    metrics: dict[str, Interval]
    per_user: dict[str, np.ndarray]
    draws: dict[str, np.ndarray]


def ranked_lists(recommender: Recommender, hold_out: HoldOut, task: str, depth: int = DEPTH) -> np.ndarray:
    """int64 [U, depth]: the model's ranking as indices into the hold-out's catalogue, -1 where it has no more."""
    ids, _ = recommender.recommend(hold_out.requests(task), depth)
    found = hold_out.catalogue.vocabulary.lookup(ids.ravel().tolist())
    return found.reshape(ids.shape)


def measure(task: str, ranked: Ranked, hold_out: HoldOut, resamples: int = RESAMPLES) -> Measured:
    """All metrics of a task over the users of ``ranked``; ``resamples=0`` leaves the intervals without width."""
    per_user = accuracy(ranked)
    if task == "next":
        return _summary(per_user, resamples)
    per_user[f"novelty_at_{K}"] = novelty(ranked.top, hold_out.listeners, hold_out.n_users)
    if has_attributes(hold_out.catalogue):
        per_user[f"diversity_at_{K}"] = diversity(ranked.top, hold_out.catalogue)
    listed, history = hold_out.popularity.lift_terms(ranked)
    n_items = len(hold_out.catalogue)
    measured = _summary(per_user | {"_listed": listed, "_history": history}, resamples, ranked.top, n_items)
    metrics, draws = measured.metrics, measured.draws
    lift = _quotient(metrics.pop("_listed").value, metrics.pop("_history").value)
    draws[LIFT] = _quotient(draws.pop("_listed"), draws.pop("_history"))
    metrics[LIFT] = interval_of(float(lift), draws[LIFT])
    return Measured(metrics, per_user, draws)


def _summary(
    per_user: Mapping[str, np.ndarray], resamples: int, top: np.ndarray | None = None, n_items: int = 0
) -> Measured:
    means, covered = draw_means(np.stack(list(per_user.values()), 1), top, n_items, resamples)
    draws = dict(zip(per_user, means.T, strict=True))
    metrics = {name: interval_of(float(values.mean()), draws[name]) for name, values in per_user.items()}
    if top is not None:
        value = coverage(top, n_items)
        draws[COVERAGE] = recentred(value, covered)
        metrics[COVERAGE] = interval_of(value, draws[COVERAGE])
    return Measured(metrics, dict(per_user), draws)


def _quotient(part, whole):
    return np.divide(part, whole, out=np.zeros_like(np.asarray(part, np.float64)), where=np.asarray(whole) > 0)


def evaluate_lists(
    lists: Mapping[str, np.ndarray], hold_out: HoldOut, name: str, intervals: bool = True, seconds: float = 0.0
) -> Evaluation:
    """Judge precomputed lists: task -> int [U, depth] into the hold-out's catalogue, -1 for none, a row a user of it.

    A task that is not in ``lists`` is not judged. Raises ValueError for an unknown task, a wrong number of rows or a
    hold-out with nothing to discover.
    """
    metrics, per_user, draws, all_ranked, users = {}, {}, {}, {}, {}
    for task, rows in lists.items():
        if task not in TASKS:
            raise ValueError(f"task: {task!r} is not known; one of {', '.join(TASKS)}")
        if len(rows) != len(hold_out):
            raise ValueError(f"{name}: {len(rows)} lists for {len(hold_out)} users of the hold-out ({task})")
        relevant = hold_out.relevant[task]
        if not len(relevant.users):
            raise ValueError(f"{task}: no user of the hold-out ({hold_out.description}) plays anything new")
        ranked = find_hits(rows, relevant)
        measured = measure(task, ranked, hold_out, RESAMPLES if intervals else 0)
        for whole, part in zip(
            (metrics, per_user, draws), (measured.metrics, measured.per_user, measured.draws), strict=True
        ):
            whole.update({f"{task}_{metric}": value for metric, value in part.items()})
        all_ranked[task], users[task] = ranked, hold_out.users[ranked.users]
    return Evaluation(name, metrics, per_user, seconds, draws if intervals else {}, all_ranked, users)


def evaluate(
    recommender: Recommender, hold_out: HoldOut, name: str | None = None, intervals: bool = True
) -> Evaluation:
    """Judge a model on both tasks; ``intervals=False`` skips the resamples (lo = hi = value)."""
    started = time.monotonic()
    lists = {task: ranked_lists(recommender, hold_out, task) for task in TASKS}
    seconds = time.monotonic() - started
    return evaluate_lists(lists, hold_out, name or recommender.name, intervals, seconds)


def compare(baseline: Evaluation, candidate: Evaluation, metric: str = PRIMARY) -> Difference:
    """Paired 95 % interval and p-value of candidate - baseline on the users of one hold-out.

    Raises ValueError when the two were not judged on the same users, or lack the metric.
    """
    for one in (baseline, candidate):
        if metric not in one.metrics:
            raise ValueError(f"{one.model}: has no metric {metric!r}; it has {', '.join(one.metrics)}")
    ours, theirs = (e.users.get(metric.split("_", 1)[0]) for e in (candidate, baseline))
    if ours is not None and theirs is not None and not np.array_equal(ours, theirs):
        raise ValueError(
            f"{candidate.model} and {baseline.model} were judged on {len(ours)} and {len(theirs)} users, not the same "
            "ones; judge both on one hold-out"
        )
    if metric in baseline.draws and metric in candidate.draws:
        value = candidate.metrics[metric].value - baseline.metrics[metric].value
        return difference_of(value, candidate.draws[metric] - baseline.draws[metric])
    if metric not in baseline.per_user:
        raise ValueError(f"{metric}: needs resamples to be compared; evaluate both models with intervals=True")
    return paired_interval(baseline.per_user[metric], candidate.per_user[metric])
