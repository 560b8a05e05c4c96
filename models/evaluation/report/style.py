"""One look for all plots: a model has the same colour everywhere, names are readable, every figure has a caption."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008), told apart by colour-blind readers too, then darker and lighter ones for more models.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#5c5c5c", "#8c564b", "#2f9e9e",
           "#b8a000", "#a6a6a6")  # fmt: skip
MARKERS = "osD^v<>hpd8H"
INK, MUTED, GRID = "#222222", "#666666", "#e3e3e3"
DPI = 130
SHORT = {"ndcg": "NDCG", "mrr": "MRR"}


def colours(models: Iterable[str]) -> dict[str, str]:
    """Model -> colour, by its place among the models."""
    return {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(dict.fromkeys(models))}


def markers(models: Iterable[str]) -> dict[str, str]:
    """Model -> marker, by its place among the models."""
    return {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(dict.fromkeys(models))}


def label(metric: str) -> str:
    """A metric's name for readers: ``discover_ndcg_at_10`` is "discover: NDCG@10".

    >>> label("next_mrr_at_100")
    'next: MRR@100'
    """
    task, _, name = metric.partition("_")
    if task not in ("next", "discover"):
        return metric.replace("_", " ")
    name = " ".join(SHORT.get(word, word) for word in name.replace("_at_", "@").replace("@", " @").split("_"))
    name = " ".join(SHORT.get(word, word) for word in name.split(" ")).replace(" @", "@")
    return f"{task}: {name}" + (" (bits)" if name.startswith("novelty") else "")


def new_figure(width: float, height: float, title: str = "", caption: str = "") -> Figure:
    """A figure in inches, with a title at its top and a caption, wrapped, at its foot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    if caption:
        lines = textwrap.wrap(caption, int(width * 15.5))
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8, color=MUTED)
    return figure


def caption_height(caption: str, width: float) -> float:
    """Inches that the caption takes at the foot of a figure of this width."""
    return 0.15 * len(textwrap.wrap(caption, int(width * 15.5))) if caption else 0.0


def tidy(panel: Axes, title: str = "", grid: str = "x") -> None:
    """Light grid behind the data, no box round it."""
    if title:
        panel.set_title(title, fontsize=10, loc="left", color=INK)
    panel.tick_params(labelsize=8.5, colors=INK, length=0)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color("#bbbbbb")
    panel.grid(axis=grid, color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
