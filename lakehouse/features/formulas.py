"""Shapes of features that views are written with: each gives one ``Feature``, terms and formula together."""

from __future__ import annotations

from typing import Any

from lakehouse.features.declare import (
    DAY,
    Distinct,
    Feature,
    LastIds,
    Session,
    Since,
    TopIds,
    Total,
)

UNIT = 2**20
"""Fractions are summed as whole multiples of 2^-20: exact, and the same in every order of events."""

UNKNOWN = -1.0


def divide(above: Any, below: Any, default: float) -> Any:
    """``above / below``, or ``default`` where nothing is below (decayed weights end above 1e-6, see ``views``)."""
    import numpy as np

    result = np.full(np.shape(below), float(default))
    return np.divide(above, below, out=result, where=np.asarray(below) > 1e-6)


def count(name: str, text: str, measure: str, window: int, lag: int = 0) -> Feature:
    """Sum of whole numbers."""
    return Feature(name, text, (Total(measure, window, lag),), lambda x: x, "int64", low=0)


def decayed(name: str, text: str, measure: str, half_life: int, window: int) -> Feature:
    return Feature(name, text, (Total(measure, window, half_life=half_life),), _not_negative, low=0)


def _not_negative(values: Any) -> Any:
    import numpy as np

    return np.maximum(values, 0.0)  # what is left of terms that have left the window is 0 up to rounding


def rate(name: str, text: str, above: str, below: str, window: int, half_life: int | None = None) -> Feature:
    """Share in 0 … 1: ``above`` events of ``below`` events; -1 where there is none."""
    terms = (Total(above, window, half_life=half_life), Total(below, window, half_life=half_life))
    return Feature(name, text, terms, _share, default=UNKNOWN, low=UNKNOWN, high=1)


def _share(above: Any, below: Any) -> Any:
    import numpy as np

    return np.where(np.asarray(below) > 1e-6, np.clip(divide(above, below, 0.0), 0, 1), UNKNOWN)


def mean(name: str, text: str, above: str, below: str, window: int, half_life: int | None = None) -> Feature:
    """Mean of a fraction in 0 … 1 that the facts hold in units of 2^-20; -1 where it is unknown."""
    terms = (Total(above, window, half_life=half_life), Total(below, window, half_life=half_life))
    return Feature(name, text, terms, lambda a, b: _share(a / UNIT, b), default=UNKNOWN, low=UNKNOWN, high=1)


def per_event(name: str, text: str, above: str, below: str, window: int) -> Feature:
    """``above`` for each ``below``, which may pass 1; 0 where there is none below."""
    terms = (Total(above, window), Total(below, window))
    return Feature(name, text, terms, lambda a, b: divide(a, b, 0.0), low=0)


def repeat_rate(name: str, text: str, window: int, column: str = "track_id") -> Feature:
    """Plays of something that was in the window before / plays: 1 - distinct / plays; -1 without plays."""
    terms = (Distinct("plays", window, column), Total("plays", window))
    return Feature(name, text, terms, _repeat, default=UNKNOWN, low=UNKNOWN, high=1)


def _repeat(distinct: Any, plays: Any) -> Any:
    return _share(plays - distinct, plays)


def discovery_rate(name: str, text: str, recent: int, memory: int, column: str = "track_id") -> Feature:
    """Share of the values of the last ``recent`` ms that were not there before (back to ``memory``); -1 without any."""
    terms = (
        Distinct("plays", memory, column),
        Distinct("plays", memory, column, lag=recent),
        Distinct("plays", recent, column),
    )
    return Feature(name, text, terms, lambda a, old, new: _share(a - old, new), default=UNKNOWN, low=UNKNOWN, high=1)


def distinct(name: str, text: str, measure: str, window: int, column: str) -> Feature:
    return Feature(name, text, (Distinct(measure, window, column),), lambda x: x, "int64", low=0)


def trend(name: str, text: str, measure: str, short: int, long: int) -> Feature:
    """Events a day in ``short`` / a day in ``long``, one event a window added: 1 is steady, above 1 is rising."""
    scale = long / short
    terms = (Total(measure, short), Total(measure, long))
    return Feature(name, text, terms, lambda a, b: (a * scale + 1) / (b + 1), default=1, low=0)


def is_new(name: str, text: str, measure: str, age: int, memory: int) -> Feature:
    """1 while no event is older than ``age`` (looking back ``memory``), else 0."""
    return Feature(
        name, text, (Total(measure, memory, lag=age),), lambda old: 1 * (old == 0), "int64", default=1, low=0, high=1
    )


def since(name: str, text: str, measure: str, window: int) -> Feature:
    """Seconds since the newest event; -1 if there is none in the window."""
    terms = (Since(measure, window),)
    return Feature(name, text, terms, _seconds, default=UNKNOWN, low=UNKNOWN, high=window / 1000)


def _seconds(ms: Any) -> Any:
    import numpy as np

    return np.where(np.asarray(ms) < 0, UNKNOWN, ms / 1000)


def centroid(
    name: str, text: str, columns: tuple[str, ...], below: str, window: int, half_life: int | None = None
) -> Feature:
    """Mean vector of the ``columns`` (units of 2^-20) over the events that have one; all 0 where none has."""
    terms = tuple(Total(column, window, half_life=half_life) for column in (*columns, below))
    return Feature(name, text, terms, _centroid, size=len(columns))


def _centroid(*parts: Any) -> Any:
    import numpy as np

    return np.stack([divide(part / UNIT, parts[-1], 0.0) for part in parts[:-1]], axis=1)


def last_ids(name: str, text: str, measure: str, window: int, column: str, size: int) -> Feature:
    return Feature(name, text, (LastIds(measure, window, column, size),), lambda x: x, "ids", size)


def top_ids(name: str, text: str, measure: str, window: int, column: str, size: int) -> Feature:
    return Feature(name, text, (TopIds(measure, window, column, size),), lambda x: x, "ids", size)


def session(name: str, text: str, part: str) -> Feature:
    """A figure of the open session, of at most one day; ``ms`` in seconds."""
    term = Session("plays", DAY, part)  # type: ignore[arg-type]
    if part == "ms":
        return Feature(name, text, (term,), lambda ms: ms / 1000, low=0)
    return Feature(name, text, (term,), lambda x: x, "int64", low=0)
