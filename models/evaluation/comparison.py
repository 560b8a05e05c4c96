"""Every model against every other one, paired over the same users."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.evaluation.bootstrap import Difference
from models.evaluation.metrics import PRIMARY, Evaluation, compare
from models.evaluation.predictions import evaluate_files
from models.evaluation.split import HoldOut

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("metric", "baseline", "candidate", "difference", "lo", "hi", "p_value", "p_holm", "users")


def compare_all(evaluations: Sequence[Evaluation], metrics: Sequence[str] = (PRIMARY,)) -> pd.DataFrame:
    """Tidy: one row a metric and ordered pair of different models, difference = candidate - baseline.

    p_value is of the pair alone; p_holm is adjusted for all unordered pairs of the metric (Holm 1979), which is what
    to read when the best of many models is picked from the table. Raises ValueError for models of the same name or of
    different users.
    """
    import pandas as pd

    names = [e.model for e in evaluations]
    if len(set(names)) < len(names):
        raise ValueError(f"models: {names} are not all different; give each evaluation a name of its own")
    rows = []
    for metric in metrics:
        pairs = [(a, b) for i, a in enumerate(evaluations) for b in evaluations[i + 1 :]]
        found = [compare(a, b, metric) for a, b in pairs]
        adjusted = holm([d.p_value for d in found])
        for (a, b), d, p in zip(pairs, found, adjusted, strict=True):
            users = len(a.users.get(metric.split("_", 1)[0], ()))
            rows.append((metric, a.model, b.model, d.value, d.lo, d.hi, d.p_value, p, users))
            rows.append((metric, b.model, a.model, -d.value, -d.hi, -d.lo, d.p_value, p, users))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values(["metric", "baseline"], key=_order([*metrics, *names]), kind="stable", ignore_index=True)


def _order(names: list[str]):
    place = {name: index for index, name in enumerate(names)}
    return lambda column: column.map(place)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """float64 [n]: p-values adjusted for looking at all of them (Holm 1979), in the order given."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    out = np.empty(len(p))
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return out


def matrix_markdown(comparisons: pd.DataFrame, metric: str = PRIMARY) -> str:
    """A Markdown matrix for one metric: row minus column, in bold where the 95 % interval excludes zero."""
    rows = comparisons[comparisons.metric == metric]
    names = list(dict.fromkeys(rows.baseline))
    cells = {(r.candidate, r.baseline): _cell(r) for r in rows.itertuples()}
    lines = [f"| {metric}: row - column | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in names:
        lines.append(f"| {row} | {' | '.join(cells.get((row, column), '') for column in names)} |")
    return "\n".join(lines)


def _cell(row) -> str:
    text = f"{row.difference:+.4f} [{row.lo:+.4f}, {row.hi:+.4f}] p {p_text(row.p_value)}"
    return f"**{text}**" if row.lo > 0 or row.hi < 0 else text


def p_text(p: float) -> str:
    """A p-value to three places; below 0.005 a thousand resamples can tell no more."""
    return "< 0.005" if p < 0.005 else f"{p:.3f}"


def compare_files(
    baseline: Path | str, candidate: Path | str, hold_out: HoldOut, task: str, allow_missing: bool = False
) -> dict[str, Difference]:
    """Two prediction files (parquet of user_id, rank, track_id): metric -> candidate - baseline."""
    one, other = (evaluate_files({task: path}, hold_out, str(path), allow_missing) for path in (baseline, candidate))
    return {metric: compare(one, other, metric) for metric in one.metrics}
