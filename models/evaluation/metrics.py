"""Full-catalogue ranking metrics, one value a user.

Two tasks. ``next``: the very next play, repeats allowed, one target a user. ``discover``: all held-out tracks the
user had never played, the history excluded from the ranking; users without such a track are left out.

Negatives are never sampled (Krichene & Rendle 2020). Novelty is self-information, as in Zhou et al. 2010; intra-list
diversity is the mean distance of the pairs of a list (Ziegler et al. 2005).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from models.data import Catalogue
from models.evaluation.bootstrap import Interval, coverage_interval, mean_interval, paired_interval
from models.evaluation.split import HoldOut
from models.recommend.base import Recommender

K = 10
DEPTH = 100
TASKS = ("next", "discover")
PRIMARY = "discover_ndcg_at_10"
DISCOUNT = 1.0 / np.log2(np.arange(2, DEPTH + 2))


@dataclass(frozen=True)
class Evaluation:
    """How one model did on one hold-out.

    metrics: name such as ``discover_ndcg_at_10`` -> value with 95 % interval; per_user: name -> float64, one value
    for every user the task scores, the same users in the same order for every model on the same hold-out.
    """

    model: str
    metrics: dict[str, Interval]
    per_user: dict[str, np.ndarray] = field(repr=False)
    seconds: float = 0.0

    def flat(self) -> dict[str, float]:
        """Metric names as they are logged: the value, and its interval as ``_lo`` and ``_hi``."""
        out = {}
        for name, interval in self.metrics.items():
            out |= {name: interval.value, f"{name}_lo": interval.lo, f"{name}_hi": interval.hi}
        return out


def ranked_lists(recommender: Recommender, hold_out: HoldOut, task: str, depth: int = DEPTH) -> np.ndarray:
    """int64 [U, depth]: the model's ranking as indices into the hold-out's catalogue, -1 where it has no more."""
    ids, _ = recommender.recommend(hold_out.requests(task), depth)
    found = hold_out.catalogue.vocabulary.lookup(ids.ravel().tolist())
    return found.reshape(ids.shape)


def next_metrics(top: np.ndarray, hold_out: HoldOut) -> dict[str, np.ndarray]:
    """Per-user ``recall_at_10``, ``ndcg_at_10`` and ``mrr_at_100`` of the very next play."""
    target = np.array([truth[0] for truth in hold_out.truths])
    hit = top == target[:, None]
    depth = hit.shape[1]
    return {
        "next_recall_at_10": hit[:, :K].any(1).astype(np.float64),
        "next_ndcg_at_10": hit[:, :K] @ DISCOUNT[: min(K, depth)],
        "next_mrr_at_100": hit @ (1.0 / np.arange(1, depth + 1)),
    }


def discover_metrics(top: np.ndarray, hold_out: HoldOut) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Indices of the users with anything new in their hold-out, and their per-user metrics."""
    relevant = [
        np.setdiff1d(truth, history) for truth, history in zip(hold_out.truths, hold_out.histories, strict=True)
    ]
    n_relevant = np.array([len(r) for r in relevant])
    users = np.flatnonzero(n_relevant)
    top, n_relevant = top[users], n_relevant[users]
    hit = (
        np.stack([np.isin(row, relevant[user]) for user, row in zip(users, top, strict=True)])
        if len(users)
        else top > 0
    )
    ideal = np.concatenate([[0], np.cumsum(DISCOUNT[:K])])[np.minimum(n_relevant, K)]
    information = np.append(-np.log2((hold_out.listeners + 1.0) / (hold_out.n_users + 1.0)), 0.0)
    listed = (top[:, :K] >= 0).sum(1)
    return users, {
        "discover_ndcg_at_10": (hit[:, :K] @ DISCOUNT[: min(K, top.shape[1])]) / ideal,
        "discover_recall_at_100": hit.sum(1) / n_relevant,
        "discover_novelty_at_10": information[top[:, :K]].sum(1) / np.maximum(listed, 1),
        "discover_diversity_at_10": diversity(top[:, :K], hold_out.catalogue),
    }


def diversity(top: np.ndarray, catalogue: Catalogue) -> np.ndarray:
    """float64 [U]: mean distance over the pairs of each list; 0 is one artist and genre, 1 is all different.

    The distance of two tracks is the share of artist and genre, where known for both, in which they differ.
    """
    different, known = np.zeros((2, *top.shape, top.shape[1]))
    for attribute in (catalogue.artist, catalogue.genre):
        values = np.where(top >= 0, attribute[top], -1)
        both = (values[:, :, None] >= 0) & (values[:, None, :] >= 0)
        known += both
        different += both & (values[:, :, None] != values[:, None, :])
    pairs = np.triu(np.ones(top.shape[1:] * 2, bool), 1) & (known > 0)
    distance = np.divide(different, known, out=np.zeros_like(different), where=known > 0)
    return (distance * pairs).sum((1, 2)) / np.maximum(pairs.sum((1, 2)), 1)


def evaluate(
    recommender: Recommender, hold_out: HoldOut, name: str | None = None, intervals: bool = True
) -> Evaluation:
    """Judge a model on both tasks; ``intervals=False`` skips the resamples (lo = hi = value)."""
    per_user = next_metrics(ranked_lists(recommender, hold_out, "next"), hold_out)
    top = ranked_lists(recommender, hold_out, "discover")
    users, values = discover_metrics(top, hold_out)
    if not len(users):
        raise ValueError(f"discover: no user of the hold-out ({hold_out.description}) plays anything new")
    per_user |= values
    resamples = {} if intervals else {"resamples": 1}
    metrics = {metric: mean_interval(vector, **resamples) for metric, vector in per_user.items()}
    metrics["discover_coverage_at_10"] = coverage_interval(top[users, :K], len(hold_out.catalogue), **resamples)
    if not intervals:
        metrics = {metric: Interval(m.value, m.value, m.value) for metric, m in metrics.items()}
    return Evaluation(name or recommender.name, metrics, per_user)


def compare(baseline: Evaluation, candidate: Evaluation, metric: str = PRIMARY) -> Interval:
    """Paired 95 % interval of candidate - baseline on the users of one hold-out."""
    return paired_interval(baseline.per_user[metric], candidate.per_user[metric])
