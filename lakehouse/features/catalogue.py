"""``docs/features.md``: every feature, from the declarations."""

from __future__ import annotations

from lakehouse.features.context import CONTEXT
from lakehouse.features.declare import DAY, HOUR, Feature, FeatureView
from lakehouse.features.views import VIEWS


def feature_catalogue() -> str:
    """The page as Markdown."""
    lines = [
        "# Features",
        "",
        "Generated from `lakehouse/features/views.py` by `soundlake docs`; change the declarations, not this page.",
        "",
        "Each feature is declared once and used four times: as of just before every listen in a training set "
        "(`lakehouse/features/training.py`), as of an hour in the table `gold.<view>` (`batch.py`), event by event in "
        "the stream (`stream.py`), and as a field of the online row (`FeatureView.row_schema`). All four give the same "
        "value, because an event counts in all of them from when it was known:",
        "",
        "    known    = the latest of received_at, occurred_at and the end of the play",
        "    counts   : known < t  and  occurred_at >= t - window",
        "",
        "An event never sees itself, nor anything received later. Of an event that was sent again, the version "
        "known last before t counts. A row may be served for its time to live after `as_of`; then, and for whoever has "
        "no row, the default is the answer. `pytest tests/lakehouse/features` holds all of this against a plain-Python "
        "law with random late, repeated, corrected and moved events.",
        "",
        f"{len(VIEWS)} views, {sum(len(v.features) for v in VIEWS)} features.",
    ]
    for view in VIEWS:
        lines += ["", *_section(view)]
    lines += ["", "## Context", "", "What an event says of its own moment (`lakehouse/features/context.py`).", ""]
    lines += ["| name | description |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in CONTEXT.items()]
    return "\n".join(lines) + "\n"


def _section(view: FeatureView) -> list[str]:
    facts = [
        f"key: {', '.join(f'`{k}`' for k in view.keys)}",
        f"from: {', '.join(view.sources)}",
        f"remembers: {_span(view.horizon)}",
        f"time to live: {_span(int(view.ttl.total_seconds() * 1000))}",
        f"owner: {view.owner}",
    ]
    lines = [f"## {view.name}", "", view.description, "", "; ".join(facts), ""]
    lines += ["| feature | type | window | default | description |", "|---|---|---|---|---|"]
    return lines + [_row(feature) for feature in view.features]


def _row(feature: Feature) -> str:
    kind = f"{feature.kind}[{feature.size}]" if feature.size > 1 else feature.kind
    default = "[]" if feature.kind == "ids" else f"{feature.default:g}"
    return f"| `{feature.name}` | {kind} | {_window(feature)} | {default} | {feature.description} |"


def _window(feature: Feature) -> str:
    """The longest window, and the half-life where there is one."""
    text = _span(max(term.window for term in feature.terms))
    half_lives = {term.half_life for term in feature.terms if getattr(term, "half_life", None)}
    return text + "".join(f", half-life {_span(h)}" for h in sorted(half_lives))


def _span(ms: int) -> str:
    return f"{ms // HOUR} h" if ms % DAY else f"{ms // DAY} d"
