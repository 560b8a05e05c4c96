"""Every model against every other one, as a heat map of paired differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.evaluation.metrics import PRIMARY
from models.evaluation.report.style import INK, MUTED, caption_height, label, new_figure, png

if TYPE_CHECKING:
    import pandas as pd


def matrix_plot(comparisons: pd.DataFrame, metric: str = PRIMARY, caption: str = "") -> bytes:
    """PNG: row minus column, from the rows of ``compare_all``; grey and in brackets where the interval holds zero."""
    rows = comparisons[comparisons.metric == metric]
    if rows.empty:
        raise ValueError(f"pairs: no comparison by {metric!r}; there are {sorted(set(comparisons.metric))}")
    names = list(dict.fromkeys(rows.baseline))
    place = {name: index for index, name in enumerate(names)}
    caption = (
        f"{caption} Row minus column, paired over the same users. Blue: the row is better, orange: the column is; "
        "white, in brackets: the 95 % interval of the difference holds zero."
    ).strip()
    size = 0.82 * len(names)
    width = max(size + 2.4, 6.5)
    figure = new_figure(
        width, 0.75 * size + 1.7 + caption_height(caption, width), f"{label(metric)}: row minus column", caption
    )
    panel = figure.subplots()
    values = np.zeros((len(names), len(names)))
    for r in rows.itertuples():
        row, column, sure = place[r.candidate], place[r.baseline], r.lo > 0 or r.hi < 0
        values[row, column] = r.difference if sure else 0.0
    limit = max(np.abs(rows.difference).max(), 1e-9)
    panel.imshow(values, cmap=_colours(), vmin=-limit, vmax=limit, aspect="auto")
    for r in rows.itertuples():
        row, column, sure = place[r.candidate], place[r.baseline], r.lo > 0 or r.hi < 0
        text = f"{r.difference:+.3f}".replace("0.", ".", 1)
        colour = "white" if sure and abs(r.difference) > 0.62 * limit else INK if sure else MUTED
        panel.text(column, row, text if sure else f"({text})", ha="center", va="center", fontsize=8.5, color=colour)
    panel.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    panel.set_yticks(range(len(names)), names)
    panel.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    panel.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    panel.grid(which="minor", color="white", linewidth=2)
    panel.tick_params(labelsize=9, colors=INK, length=0, which="both")
    panel.spines[:].set_visible(False)
    return png(figure)


def _colours():
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("difference", ["#b34700", "#f0b27f", "#ffffff", "#7fb6da", "#005a8f"])
