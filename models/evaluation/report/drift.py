"""The drift of all columns at a glance, and the distributions of those that moved most."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from models.evaluation.drift import MOVED, OTHER, Drift
from models.evaluation.report.style import INK, MUTED, PALETTE, caption_height, new_figure, png, tidy

SHOWN = 6
_LONGEST = 14


def drift_plot(columns: Sequence[Drift], moved: Collection[str], title: str, caption: str = "") -> bytes:
    """PNG: PSI of each column, and reference beside sample of the six columns with the largest.

    columns: at least one; moved: those that count as moved, drawn darker. Raises ValueError without a column.
    """
    if not columns:
        raise ValueError("drift: no column was compared")
    ordered = sorted(columns, key=lambda one: one.psi)
    caption = (
        f"{caption} PSI below {MOVED}: stable; from {OTHER}: another distribution. Blue: reference, orange: the day."
    ).strip()
    width = 11.5
    shown = ordered[::-1][:SHOWN]
    lines = -(-len(shown) // 2)
    height = max(1.2 + 0.3 * len(ordered), 2.1 * lines) + 0.6 + caption_height(caption, width)
    figure = new_figure(width, height, title, caption)
    left, right = figure.subfigures(1, 2, width_ratios=[2, 3])
    _bars(left.subplots(), ordered, moved)
    panels = right.subplots(lines, min(2, len(shown)), squeeze=False).ravel()
    for panel, one in zip(panels, shown, strict=False):
        _distributions(panel, one)
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    return png(figure)


def _bars(panel, ordered: Sequence[Drift], moved: Collection[str]) -> None:
    colours = [PALETTE[1] if one.column in moved else PALETTE[5] for one in ordered]
    panel.barh(range(len(ordered)), [one.psi for one in ordered], color=colours, height=0.7)
    for place, one in enumerate(ordered):
        panel.text(one.psi, place, f" {one.psi:.2f}", va="center", fontsize=8, color=INK)
    for line in (MOVED, OTHER):
        panel.axvline(line, color=MUTED, linewidth=1, linestyle=":")
    panel.set_yticks(range(len(ordered)), [one.column for one in ordered])
    panel.set_xlim(0, max(1.2 * OTHER, 1.15 * max(one.psi for one in ordered)))
    tidy(panel, "population stability index")


def _distributions(panel, one: Drift) -> None:
    places = np.arange(len(one.bins))
    panel.bar(places - 0.2, one.reference, 0.4, color=PALETTE[0])
    panel.bar(places + 0.2, one.sample, 0.4, color=PALETTE[4])
    names = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in one.bins]
    panel.set_xticks(places, names, rotation=60, ha="right")
    tidy(panel, f"{one.column}: PSI {one.psi:.2f}", grid="y")
    panel.tick_params(labelsize=6.5)
