"""Models side by side: a tidy table, Markdown for a model card, and plots as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from models.evaluation.metrics import PRIMARY, Evaluation, compare
from models.evaluation.split import HoldOut
from models.recommend.base import Recommender

if TYPE_CHECKING:
    import pandas as pd

HEADLINE = (PRIMARY, "discover_recall_at_100", "discover_coverage_at_10", "discover_novelty_at_10",
            "discover_diversity_at_10", "next_recall_at_10", "next_ndcg_at_10", "next_mrr_at_100")  # fmt: skip


def evaluate_all(models: Sequence[Recommender], hold_out: HoldOut) -> list[Evaluation]:
    """Judge fitted models on one hold-out."""
    from models.evaluation.metrics import evaluate

    return [evaluate(model, hold_out) for model in models]


def table(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Tidy: one row a model and metric, with columns model, metric, value, lo, hi (95 % interval)."""
    import pandas as pd

    rows = [(e.model, name, m.value, m.lo, m.hi) for e in evaluations for name, m in e.metrics.items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "lo", "hi"])


def markdown(evaluations: Sequence[Evaluation], metrics: Sequence[str] = HEADLINE) -> str:
    """A Markdown table: a row a model, a column a metric, each with its 95 % interval."""
    lines = [f"| model | {' | '.join(metrics)} |", "|---" * (len(metrics) + 1) + "|"]
    for evaluation in evaluations:
        cells = [str(evaluation.metrics[name]) for name in metrics]
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


def comparison_plot(evaluations: Sequence[Evaluation], metrics: Sequence[str] = HEADLINE) -> bytes:
    """PNG: one panel a metric, one bar a model, whiskers for the 95 % intervals."""
    from matplotlib.figure import Figure

    columns = 4
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(2.9 * columns, 0.6 + (0.5 + 0.38 * len(evaluations)) * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    names = [e.model for e in evaluations][::-1]
    for panel, metric in zip(panels, metrics, strict=False):
        intervals = [e.metrics[metric] for e in evaluations][::-1]
        values = [i.value for i in intervals]
        whiskers = [[i.value - i.lo for i in intervals], [i.hi - i.value for i in intervals]]
        panel.barh(names, values, xerr=whiskers, color="#3b6ea5", ecolor="#333333", capsize=2, height=0.7)
        panel.set_title(metric, fontsize=9)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(metrics) :]:
        panel.set_visible(False)
    return _png(figure)


def learning_curve_plot(history: Sequence[Mapping[str, float]], metric: str = PRIMARY) -> bytes:
    """PNG: training loss by epoch and, where it was measured, a validation metric."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.2), layout="constrained")
    left = figure.subplots()
    epochs = [h["epoch"] for h in history]
    left.plot(epochs, [h["loss"] for h in history], "o-", color="#3b6ea5", label="training loss")
    left.set_xlabel("epoch")
    left.set_ylabel("loss (nats per example)", color="#3b6ea5")
    if all(metric in h for h in history) and history:
        right = left.twinx()
        right.plot(epochs, [h[metric] for h in history], "s--", color="#b5562b")
        right.set_ylabel(metric, color="#b5562b")
    return _png(figure)


def _png(figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
