"""Reliability diagrams: what was said against what happened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.evaluation.calibration import Calibration
from models.evaluation.report.style import INK, MUTED, caption_height, colours, markers, new_figure, png, tidy


def reliability_plot(calibrations: Sequence[Calibration], caption: str = "") -> bytes:
    """PNG: observed share by predicted probability, a line a model, with the spread of predictions below."""
    if not calibrations:
        raise ValueError("reliability: no calibration to draw")
    names = [c.model for c in calibrations]
    colour, marker = colours(names), markers(names)
    caption = (
        f"{caption} Bins of equal mass; whiskers: 95 % bootstrap intervals. On the dotted line what was said is what "
        "happened. Below: where the bins lie, each with about as many predictions."
    ).strip()
    width = 7.8
    figure = new_figure(width, 6.2 + caption_height(caption, width), "Reliability of probabilities", caption)
    upper, lower = figure.subplots(2, 1, height_ratios=[5, 0.5 + 0.3 * len(names)], sharex=True)
    upper.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)
    for c in calibrations:
        b = c.bins
        whiskers = np.nan_to_num(np.abs([b.observed - b.observed_lo, b.observed_hi - b.observed]))
        upper.errorbar(
            b.predicted, b.observed, whiskers, fmt=f"{marker[c.model]}-", color=colour[c.model], markersize=5,
            linewidth=1.3, elinewidth=0.9, capsize=2,
            label=f"{c.model}: ECE {c.ece.value:.3f} [{c.ece.lo:.3f}, {c.ece.hi:.3f}], Brier {c.brier.value:.3f}",
        )  # fmt: skip
    upper.set_ylabel("observed share", fontsize=9.5, color=INK)
    upper.legend(fontsize=8.5, frameon=False, loc="upper left")
    upper.set_ylim(bottom=0)
    tidy(upper, grid="both")
    for index, c in enumerate(calibrations):
        b = c.bins
        lower.barh(index, b.hi - b.lo, left=b.lo, height=0.6, color=colour[c.model], alpha=0.55, edgecolor="white")
    lower.set_yticks(range(len(names)), names)
    lower.set_ylim(len(names) - 0.4, -0.6)
    lower.set_xlim(0, max(float(c.bins.hi.max()) for c in calibrations) * 1.02)
    lower.set_xlabel("predicted probability", fontsize=9.5, color=INK)
    tidy(lower)
    return png(figure)
