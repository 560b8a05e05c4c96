"""Evaluations as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.evaluation.metrics import PRIMARY, Evaluation, compare, evaluate
from models.evaluation.split import HoldOut
from models.recommend.base import Recommender

if TYPE_CHECKING:
    import pandas as pd

HEADLINE = (PRIMARY, "discover_recall_at_100", "discover_coverage_at_10", "discover_novelty_at_10",
            "discover_diversity_at_10", "discover_popularity_lift_at_10", "next_recall_at_10", "next_ndcg_at_10",
            "next_mrr_at_100")  # fmt: skip


def evaluate_all(models: Sequence[Recommender], hold_out: HoldOut) -> list[Evaluation]:
    """Judge fitted models on one hold-out."""
    return [evaluate(model, hold_out) for model in models]


def table(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Tidy: one row a model and metric, with columns model, metric, value, lo, hi (95 % interval)."""
    import pandas as pd

    rows = [(e.model, name, m.value, m.lo, m.hi) for e in evaluations for name, m in e.metrics.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "lo", "hi"])


def markdown(evaluations: Sequence[Evaluation], metrics: Sequence[str] = HEADLINE) -> str:
    """A Markdown table: a row a model, a column a metric, each with its 95 % interval; empty where not judged."""
    chosen = [name for name in metrics if any(name in e.metrics for e in evaluations)]
    lines = [f"| model | {' | '.join(chosen)} |", "|---" * (len(chosen) + 1) + "|"]
    for evaluation in evaluations:
        cells = [str(evaluation.metrics.get(name, "")) for name in chosen]
        lines.append(f"| {evaluation.model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences(candidate: Evaluation, others: Sequence[Evaluation], metric: str = PRIMARY) -> str:
    """Markdown list: by how much the candidate is better than each of the others, paired over users."""
    lines = []
    for other in others:
        interval = compare(other, candidate, metric)
        verdict = "differs" if interval.excludes_zero() else "no significant difference"
        lines.append(f"- {candidate.model} - {other.model}: {metric} {interval:+} ({verdict})")
    return "\n".join(lines)
