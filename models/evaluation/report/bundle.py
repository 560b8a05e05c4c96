"""Everything about a set of models at once, as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from models.evaluation.calibration import Calibration
from models.evaluation.comparison import compare_all, matrix_markdown
from models.evaluation.metrics import PRIMARY, Evaluation
from models.evaluation.report.bars import comparison_plot, segment_plot
from models.evaluation.report.curves import Curve, learning_curves_plot
from models.evaluation.report.matrix import matrix_plot
from models.evaluation.report.page import Section, image, metric_table, page, row_table
from models.evaluation.report.reliability import reliability_plot
from models.evaluation.report.style import label
from models.evaluation.report.tables import HEADLINE, markdown, table
from models.evaluation.report.tradeoff import tradeoff_plot

if TYPE_CHECKING:
    import pandas as pd

PAIRED = (PRIMARY, "discover_recall_at_100", "next_ndcg_at_10", "next_recall_at_10")
SEGMENTED = {
    "user": ("next_ndcg_at_10", PRIMARY, "discover_recall_at_100", "discover_popularity_lift_at_10"),
    "item": ("next_recall_at_10", "discover_recall_at_100", "discover_exposure_at_10", "discover_coverage_at_10"),
}
PROTOCOL = (
    "Full-catalogue ranking, no sampled negatives. next: the very next play, repeats allowed; discover: the held-out "
    "tracks that the listener had never played. Intervals are 95 % bootstrap intervals over users."
)


def files(
    evaluations: Sequence[Evaluation],
    description: str,
    curves: Mapping[str, Curve] | None = None,
    segments: pd.DataFrame | None = None,
    calibrations: Sequence[Calibration] = (),
    title: str = "Recommenders side by side",
) -> dict[str, bytes]:
    """File name -> content, to attach to an MLflow run or an asset.

    description: what was held out (``hold_out.description``); curves: model -> its epochs; segments: rows of
    ``by_segment``. Always there: comparison.{md,csv,png} and report.html, which holds all the rest; then, for two
    models or more, pairs.{csv,md} and pairs_<metric>.png; tradeoff.png; learning_curves.png; segments.csv and
    segments_{user,item}.png; calibration.csv and reliability.png. Raises ValueError without an evaluation.
    """
    if not evaluations:
        raise ValueError("report: no evaluation was given; judge a model first")
    users = max((len(u) for e in evaluations for u in e.users.values()), default=0)
    caption = f"Held out: {description}; {users:,} users." if users else f"Held out: {description}."
    out: dict[str, bytes] = {}
    sections = [_side_by_side(out, evaluations, caption)]
    if len(evaluations) > 1:
        sections += _pairs(out, evaluations, caption)
    if curves and any(curves.values()):
        sections.append(_curves(out, curves, [e.model for e in evaluations]))
    if segments is not None and len(segments):
        sections.append(_segments(out, segments, caption))
    if calibrations:
        sections.append(_calibrations(out, calibrations))
    out["report.html"] = page(title, f"{caption} {PROTOCOL}", sections)
    return out


def _side_by_side(out: dict[str, bytes], evaluations: Sequence[Evaluation], caption: str) -> Section:
    out["comparison.md"] = markdown(evaluations).encode()
    out["comparison.csv"] = table(evaluations).to_csv(index=False).encode()
    out["comparison.png"] = comparison_plot(evaluations, caption=caption)
    shown = [name for name in HEADLINE if any(name in e.metrics for e in evaluations)]
    body = metric_table(evaluations, shown) + image(out["comparison.png"], "Bars of every metric by model")
    if any({PRIMARY, "discover_coverage_at_10"} <= set(e.metrics) for e in evaluations):
        out["tradeoff.png"] = tradeoff_plot(evaluations, caption=caption)
        body += image(out["tradeoff.png"], "Accuracy against coverage")
    return Section("All models", "Shaded: the best value of the column; see the pairs for what is beyond chance.", body)


def _pairs(out: dict[str, bytes], evaluations: Sequence[Evaluation], caption: str) -> list[Section]:
    metrics = [name for name in PAIRED if all(name in e.metrics for e in evaluations)]
    if not metrics:
        return []
    frame = compare_all(evaluations, metrics)
    out["pairs.csv"] = frame.to_csv(index=False).encode()
    out["pairs.md"] = "\n\n".join(matrix_markdown(frame, name) for name in metrics).encode()
    body = ""
    for name in metrics:
        out[f"pairs_{name}.png"] = matrix_plot(frame, name, caption)
        body += image(out[f"pairs_{name}.png"], f"Paired differences, {label(name)}")
    text = (
        "Paired bootstrap over the same users; pairs.csv has intervals, p-values, and p-values adjusted for all pairs."
    )
    return [Section("Every pair", text, body)]


def _curves(out: dict[str, bytes], curves: Mapping[str, Curve], models: Sequence[str]) -> Section:
    caption = "Training loss, and the metric where it was measured after an epoch."
    out["learning_curves.png"] = learning_curves_plot(curves, caption=caption, models=models)
    return Section("Learning curves", caption, image(out["learning_curves.png"], "Learning curves"))


def _segments(out: dict[str, bytes], segments: pd.DataFrame, caption: str) -> Section:
    out["segments.csv"] = segments.to_csv(index=False).encode()
    body = ""
    for by, metrics in SEGMENTED.items():
        if ((segments.by == by) & segments.metric.isin(metrics)).any():
            out[f"segments_{by}.png"] = segment_plot(segments, by, metrics, caption)
            body += image(out[f"segments_{by}.png"], f"Metrics by {by} segment")
    text = (
        "By user: over the users of the segment. By item: recall of the held-out tracks of the segment; exposure is "
        "the segment's share of the top places, coverage the part of the segment that anybody is shown."
    )
    return Section("Segments", text, body)


def _calibrations(out: dict[str, bytes], calibrations: Sequence[Calibration]) -> Section:
    import pandas as pd

    out["calibration.csv"] = (
        pd.concat([c.bins.assign(model=c.model) for c in calibrations]).to_csv(index=False).encode()
    )
    out["reliability.png"] = reliability_plot(calibrations)
    columns = ("model", "ECE", "Brier", "log loss (nats)", "Brier skill", "base rate", "rows")
    rows = [
        (c.model, str(c.ece), str(c.brier), str(c.log_loss), str(c.brier_skill), c.base_rate, c.n) for c in calibrations
    ]
    text = "Brier skill: 1 - Brier / Brier of always saying the base rate."
    return Section("Probabilities", text, row_table(columns, rows) + image(out["reliability.png"], "Reliability"))
