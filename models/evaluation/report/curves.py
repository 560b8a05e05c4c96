"""Learning curves: training loss, and a validation metric where it was measured, by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.evaluation.metrics import PRIMARY
from models.evaluation.report.style import INK, caption_height, colours, label, markers, new_figure, png, tidy

Curve = Sequence[Mapping[str, float]]  # {"epoch": 1, "loss": …, and metrics where measured} an epoch


def learning_curve_plot(history: Curve, metric: str = PRIMARY) -> bytes:
    """PNG: one model's training loss by epoch and, where it was measured, a validation metric."""
    return learning_curves_plot({"": history}, metric)


def learning_curves_plot(
    curves: Mapping[str, Curve], metric: str = PRIMARY, caption: str = "", models: Sequence[str] = ()
) -> bytes:
    """PNG: loss on the left, the validation metric on the right, a line a model; a model without epochs has none.

    Losses of different kinds are not comparable, so each is drawn relative to its first epoch when there are several
    models. ``models``: all models of the report, so that colours agree with its other plots.
    """
    shown = {name: list(curve) for name, curve in curves.items() if curve}
    if not shown:
        raise ValueError("learning curves: no model has an epoch; only models that train in passes have a curve")
    several = len(shown) > 1
    known = [*models, *(n for n in shown if n not in models)]
    colour, marker = colours(known), markers(known)
    measured = any(metric in point for curve in shown.values() for point in curve)
    width = 10.0 if measured else 6.0
    figure = new_figure(width, 3.7 + caption_height(caption, width), "Learning curves", caption)
    panels = figure.subplots(1, 1 + measured, squeeze=False)[0]
    for name, curve in shown.items():
        style = {
            "color": colour[name],
            "marker": marker[name],
            "markersize": 4,
            "linewidth": 1.4,
            "label": name or None,
        }
        losses = [(p["epoch"], p["loss"]) for p in curve if "loss" in p]
        if losses:
            unit = losses[0][1] if several and losses[0][1] else 1.0
            panels[0].plot([e for e, _ in losses], [loss / unit for _, loss in losses], **style)
        values = [(p["epoch"], p[metric]) for p in curve if metric in p]
        if values:
            panels[-1].plot([e for e, _ in values], [v for _, v in values], **style)
    tidy(panels[0], "training loss" + (", relative to the first epoch" if several else " (nats per example)"), "both")
    if measured:
        tidy(panels[1], f"validation, {label(metric)}", "both")
    for panel in panels:
        panel.set_xlabel("epoch", fontsize=9, color=INK)
        panel.xaxis.get_major_locator().set_params(integer=True)
    if several:
        handles = {text: h for p in panels for h, text in zip(*p.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=9, frameon=False)
    return png(figure)
