"""Bars with intervals: every metric by model, and a metric by segment and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.evaluation.metrics import Evaluation
from models.evaluation.report.style import INK, MUTED, caption_height, colours, label, new_figure, png, tidy
from models.evaluation.report.tables import HEADLINE

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = 3
INTERVALS = "Whiskers: 95 % bootstrap intervals over users."
DOTTED = "Popularity lift: on the dotted line lists are as popular as what users had chosen themselves."


def comparison_plot(evaluations: Sequence[Evaluation], metrics: Sequence[str] = HEADLINE, caption: str = "") -> bytes:
    """PNG: one panel a metric, one bar a model, whiskers for the 95 % intervals, the value beside each bar."""
    chosen = [m for m in metrics if any(m in e.metrics for e in evaluations)]
    if not chosen:
        raise ValueError(f"comparison: none of the metrics {list(metrics)} was measured")
    names = [e.model for e in evaluations]
    colour = colours(names)
    caption = f"{caption} {INTERVALS} {_dotted(chosen)}".strip()
    rows = -(-len(chosen) // COLUMNS)
    width = 11.5
    height = 0.6 + rows * (0.75 + 0.24 * len(names)) + caption_height(caption, width)
    figure = new_figure(width, height, "Models side by side", caption)
    panels = figure.subplots(rows, min(COLUMNS, len(chosen)), squeeze=False, sharey=True).ravel()
    for panel, metric in zip(panels, chosen, strict=False):
        found = [(i, e.metrics[metric]) for i, e in enumerate(evaluations) if metric in e.metrics]
        places, values = [i for i, _ in found], [m.value for _, m in found]
        panel.barh(places, values, color=[colour[names[i]] for i in places], height=0.72)
        whiskers = np.abs([[m.value - m.lo, m.hi - m.value] for _, m in found]).T
        panel.errorbar(values, places, xerr=whiskers, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        low, high = min(0.0, *(m.lo for _, m in found)), max(m.hi for _, m in found) or 1.0
        digits = 2 if high >= 1 else 3
        for place, m in found:
            text = f"{m.value:.{digits}f}"
            panel.text(m.hi + 0.02 * (high - low), place, text, va="center", fontsize=8, color=INK)
        panel.set_xlim(low, low + 1.2 * (high - low))
        if "popularity_lift" in metric:
            panel.axvline(1, color=MUTED, linewidth=1, linestyle=":")
        tidy(panel, label(metric))
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    for panel in panels[len(chosen) :]:
        panel.set_visible(False)
    return png(figure)


def segment_plot(segments: pd.DataFrame, by: str, metrics: Sequence[str], caption: str = "") -> bytes:
    """PNG: one panel a metric, a group of bars a segment, a bar a model, from the rows of ``by_segment``."""
    rows = segments[(segments.by == by) & (segments.metric.isin(metrics))]
    chosen = [m for m in metrics if (rows.metric == m).any()]
    if not chosen:
        raise ValueError(f"segments: no rows by {by!r} with a metric of {list(metrics)}")
    models = list(dict.fromkeys(segments.model))
    names = list(dict.fromkeys(rows.segment))
    rules = "; ".join(
        f"{segment}: {rule}" + ("" if segment in names else " (nobody)")
        for segment, rule in segments[segments.by == by][["segment", "rule"]].drop_duplicates().itertuples(index=False)
    )
    caption = f"{caption} {rules}. {INTERVALS} n: users that a figure is the mean over. {_dotted(chosen)}".strip()
    width, columns = 11.5, min(2, len(chosen))
    lines = -(-len(chosen) // columns)
    figure = new_figure(width, 1.1 + 2.7 * lines + caption_height(caption, width), f"By {by} segment", caption)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, metric in zip(panels, chosen, strict=False):
        _groups(panel, rows[rows.metric == metric], names, models)
        if "popularity_lift" in metric:
            panel.axhline(1, color=MUTED, linewidth=1, linestyle=":")
        tidy(panel, label(metric), grid="y")
    for panel in panels[len(chosen) :]:
        panel.set_visible(False)
    handles, texts = panels[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper right", ncols=min(len(models), 6), fontsize=8.5, frameon=False)
    return png(figure)


def _dotted(metrics: Sequence[str]) -> str:
    return DOTTED if any("popularity_lift" in metric for metric in metrics) else ""


def _groups(panel, rows: pd.DataFrame, names: list[str], models: list[str]) -> None:
    colour, thickness = colours(models), 0.82 / len(models)
    for index, model in enumerate(models):
        mine = rows[rows.model == model].set_index("segment").reindex(names)
        places = np.arange(len(names)) + (index - (len(models) - 1) / 2) * thickness
        value = mine.value.to_numpy(float)
        panel.bar(places, value, thickness * 0.92, color=colour[model], label=model)
        whiskers = np.abs([value - mine.lo, mine.hi - value])
        panel.errorbar(places, value, whiskers, fmt="none", ecolor=INK, elinewidth=0.9, capsize=1.5)
    users = rows.groupby("segment").users.max().reindex(names).fillna(0).astype(int)
    panel.set_xlim(-0.5, len(names) - 0.5)
    panel.set_xticks(range(len(names)), [f"{name}\nn = {users[name]:,}" for name in names])
