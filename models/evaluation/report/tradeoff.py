"""Accuracy against coverage: whether a model pays for its hits by showing everybody the same tracks."""

from __future__ import annotations

from collections.abc import Sequence

from models.evaluation.metrics import COVERAGE, PRIMARY, Evaluation
from models.evaluation.report.style import INK, caption_height, colours, label, markers, new_figure, png, tidy


def tradeoff_plot(
    evaluations: Sequence[Evaluation], accuracy: str = PRIMARY, breadth: str = f"discover_{COVERAGE}", caption: str = ""
) -> bytes:
    """PNG: one point a model with the 95 % intervals of both metrics; up and to the right is better."""
    shown = [e for e in evaluations if accuracy in e.metrics and breadth in e.metrics]
    if not shown:
        raise ValueError(f"trade-off: no model has both {accuracy} and {breadth}")
    colour, marker = (of([e.model for e in evaluations]) for of in (colours, markers))
    caption = f"{caption} Crosses: 95 % bootstrap intervals over users. Up and to the right is better.".strip()
    width = 8.6
    figure = new_figure(width, 5.0 + caption_height(caption, width), "Accuracy against coverage", caption)
    panel = figure.subplots()
    for e in shown:
        x, y = e.metrics[breadth], e.metrics[accuracy]
        panel.errorbar(
            x.value, y.value, xerr=[[abs(x.value - x.lo)], [abs(x.hi - x.value)]],
            yerr=[[abs(y.value - y.lo)], [abs(y.hi - y.value)]], fmt=marker[e.model], color=colour[e.model],
            markersize=8, markeredgecolor="white", elinewidth=1.1, capsize=2, label=e.model, clip_on=False,
        )  # fmt: skip
    panel.set_xlabel(label(breadth), fontsize=9.5, color=INK)
    panel.set_ylabel(label(accuracy), fontsize=9.5, color=INK)
    panel.set_xlim(left=0)
    panel.set_ylim(bottom=0)
    tidy(panel, grid="both")
    figure.legend(*_plain(panel), loc="outside right upper", fontsize=9, frameon=False)
    return png(figure)


def _plain(panel):
    """Legend entries as markers without their crosses."""
    handles, texts = panel.get_legend_handles_labels()
    return [handle[0] for handle in handles], texts
