"""The law of features in plain Python, to hold the real ones against: slow, obvious, one event at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from lakehouse.features.declare import (
    Distinct,
    FeatureView,
    LastIds,
    Session,
    Since,
    Term,
    TopIds,
    Total,
)
from lakehouse.features.evaluate import EVENT_COLUMNS, TIME, evaluate, fact_columns

Fact = dict[str, Any]


def counting(facts: list[Fact], time: int, window: int) -> list[Fact]:
    """Newest known versions of the events that count at ``time``, in order."""
    versions: dict[int, Fact] = {}
    for fact in sorted(facts, key=lambda f: max(f["known_ms"], f["occurred_ms"])):
        if max(fact["known_ms"], fact["occurred_ms"]) < time:
            versions[fact["event_number"]] = fact
    inside = [f for f in versions.values() if f["occurred_ms"] >= time - window]
    return sorted(inside, key=lambda f: (f["occurred_ms"], f["event_number"]))


def term_value(term: Term, facts: list[Fact], time: int) -> Any:
    events = [f for f in counting(facts, time, term.window) if f[term.measure] != 0]
    if isinstance(term, Total) and term.half_life:
        return sum(f[term.measure] * 2 ** (-(time - f["occurred_ms"]) / term.half_life) for f in events)
    if isinstance(term, (Total, Distinct)) and term.lag:
        events = [f for f in events if f["occurred_ms"] < time - term.lag]
    if isinstance(term, Total):
        return sum(f[term.measure] for f in events)
    if isinstance(term, Distinct):
        return len({f[term.column] for f in events} - {None})
    if isinstance(term, Since):
        return time - events[-1]["occurred_ms"] if events else -1
    if isinstance(term, LastIds):
        return [f[term.column] for f in reversed(events) if f[term.column] is not None][: term.size]
    if isinstance(term, TopIds):
        counts = Counter(f[term.column] for f in events if f[term.column] is not None)
        return [text for text, _ in sorted(counts.items(), key=lambda x: (-x[1], x[0]))][: term.size]
    assert isinstance(term, Session)
    return session_value(term, events, time)


def session_value(term: Session, events: list[Fact], time: int) -> int:
    sessions: list[list[Fact]] = []
    until = None
    for fact in events:
        if until is None or fact["occurred_ms"] - until > term.gap:
            sessions.append([])
            until = fact["occurred_ms"]
        sessions[-1].append(fact)
        until = max(until, fact["occurred_ms"] + fact["ms_played"])
    if until is None or time - until > term.gap:
        return 0
    last = sessions[-1]
    parts = {
        "events": len(last),
        "skips": sum(f["skips"] for f in last),
        "ms": time - last[0]["occurred_ms"],
    }
    return parts[term.part]


def expected(view: FeatureView, facts: list[Fact], key: tuple, time: int) -> dict[str, Any]:
    """Every feature of one entity at one time."""
    mine = [f for f in facts if tuple(f[k] for k in view.keys) == key]
    terms = {term: term_value(term, mine, time) for term in view.terms}
    result = {}
    for feature in view.features:
        arguments = [terms[t] if isinstance(terms[t], list) else np.array([terms[t]]) for t in feature.terms]
        value = feature.formula(*arguments)
        result[feature.name] = value if feature.kind == "ids" else np.asarray(value)[0]
    return result


def fact_table(views: list[FeatureView], facts: list[Fact]) -> pa.Table:
    """Facts as Arrow; what a fact does not say is 0, or null for texts."""
    texts = {k for view in views for k in view.keys}
    texts |= {t.column for view in views for t in view.terms if hasattr(t, "column")}
    columns = {
        name: pa.array(
            [f.get(name) if name in texts else f.get(name, 0) for f in facts],
            pa.string() if name in texts else pa.int64(),
        )
        for name in fact_columns(views)
    }
    assert set(EVENT_COLUMNS) <= set(columns)
    return pa.table(columns)


def questions(view: FeatureView, asked: list[tuple[tuple, int]]) -> pa.Table:
    columns = {k: pa.array([key[i] for key, _ in asked], pa.string()) for i, k in enumerate(view.keys)}
    return pa.table({**columns, TIME: pa.array([time for _, time in asked], pa.int64())})


def differences(view: FeatureView, found: dict[str, Any], row: int, wanted: dict[str, Any]) -> list[str]:
    """Features of row ``row`` that are not as wanted: whole numbers and ids exactly, the rest to 1e-6."""
    wrong = []
    for feature in view.features:
        value, want = found[feature.name][row], wanted[feature.name]
        if feature.kind == "float32":
            same = np.allclose(np.asarray(value, float), want, rtol=1e-6, atol=1e-6)
        else:
            same = value == want
        if not same:
            wrong.append(f"{view.name}.{feature.name}: {value!r}, not {want!r}")
    return wrong


Values = Callable[[list[Fact], list[tuple[tuple, int]]], dict[str, Any]]


def values_of(view: FeatureView) -> Values:
    """facts, [(key, time)] -> the values that the platform computes."""
    return lambda facts, asked: evaluate(view, fact_table([view], facts), questions(view, asked))


def leaks(values: Values, view: FeatureView, facts: list[Fact], asked: list[tuple[tuple, int]], future) -> list[str]:
    """What changes at the asked times with what was not known before them.

    Each value is computed without any future, with the one that came, and with ``future(rest, time)``. An honest
    feature gives an empty list whatever the future is.
    """
    found = []
    for key, time in asked:
        past = [f for f in facts if max(f["known_ms"], f["occurred_ms"]) < time]
        rest = [f for f in facts if max(f["known_ms"], f["occurred_ms"]) >= time]
        alone = values(past, [(key, time)])
        wanted = {f.name: alone[f.name][0] for f in view.features}
        for later in (rest, future(rest, time)):
            found += differences(view, values(past + later, [(key, time)]), 0, wanted)
    return found
