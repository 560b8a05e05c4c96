"""The values of a view at asked times, from facts: the one computation behind training, batch and stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.features import kernel, ordered
from lakehouse.features.declare import Distinct, Feature, FeatureView, LastIds, Session, Since, Term, TopIds, Total
from lakehouse.features.kernel import NEVER, Clock, Events, Questions

EVENT_COLUMNS = ("event_number", "occurred_ms", "known_ms")
"""What every fact has: a 64-bit number of its event id, when it happened, from when it is known."""

TIME = "time_ms"
_ARROW = {"int64": pa.int64(), "float32": pa.float32(), "ids": pa.list_(pa.string())}


def fact_columns(views: Iterable[FeatureView]) -> list[str]:
    """Columns that facts need for ``views``."""
    wanted = sorted({name for view in views for name in (*view.keys, *view.columns)})
    return [*EVENT_COLUMNS, *wanted]


def evaluate(view: FeatureView, facts: pa.Table, asked: pa.Table) -> dict[str, Any]:
    """Values of every feature of ``view`` for the rows of ``asked`` (its keys as text and ``time_ms``).

    ``facts``: one row for each version of an event, with ``fact_columns``; order and exact repetitions don't matter.
    -> feature -> int64 [q], float64 [q] or [q, size], or a list of q lists. A null key has the defaults.
    """
    mine, theirs = _entity_codes(view.keys, facts, asked)
    theirs_known = theirs >= 0
    wanted = np.zeros(max(mine.max(initial=-1), theirs.max(initial=-1)) + 1, bool)
    wanted[theirs[theirs_known]] = True
    use = np.flatnonzero((mine >= 0) & wanted[mine]) if len(mine) and len(wanted) else np.zeros(0, np.int64)
    facts, mine = facts.take(use), mine[use]
    facts, mine = _once(facts, mine)
    time = asked[TIME].to_numpy()
    values = _Terms(facts, mine, np.where(theirs_known, theirs, len(wanted)), time).values(view.terms)
    return {f.name: f.formula(*(values[t] for t in f.terms)) for f in view.features}


def to_arrow(view: FeatureView, values: dict[str, Any]) -> dict[str, pa.Array]:
    """``values`` of ``evaluate`` as Arrow columns in the types of the view's table."""
    return {f.name: _column(f, values[f.name]) for f in view.features}


def arrow_type(feature: Feature) -> pa.DataType:
    kind = _ARROW[feature.kind]
    return pa.list_(kind) if feature.size > 1 and feature.kind != "ids" else kind


def _column(feature: Feature, values: Any) -> pa.Array:
    kind = arrow_type(feature)
    if feature.kind == "ids":
        return pa.array(values, kind)
    flat = pa.array(np.asarray(values).reshape(-1), kind if feature.size == 1 else kind.value_type, safe=False)
    if feature.size == 1:
        return flat
    offsets = pa.array(np.arange(0, len(flat) + 1, feature.size, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, flat).cast(kind)


def _entity_codes(keys: Sequence[str], facts: pa.Table, asked: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Numbers 0 … of the entities in both tables, -1 where a part of the key is null."""
    code: np.ndarray | None = None
    for name in keys:
        both = pa.chunked_array([*facts[name].chunks, *asked[name].chunks], pa.string())
        coded = both.combine_chunks().dictionary_encode()
        part = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        if code is None:
            code = part
        else:
            joined = np.where((code < 0) | (part < 0), -1, code * (len(coded.dictionary) + 1) + part)
            known = joined >= 0
            code = np.full(len(joined), -1)
            code[known] = np.unique(joined[known], return_inverse=True)[1]
    assert code is not None  # a view has keys
    return code[: len(facts)], code[len(facts) :]


def _once(facts: pa.Table, entity: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    """One row for each version of an event; of rows that differ though they should not, the largest."""
    number, _, known = (facts[name].to_numpy() for name in EVENT_COLUMNS)
    order = np.lexsort((known, number, entity))
    same = np.flatnonzero(np.all([np.diff(a[order]) == 0 for a in (entity, number, known)], axis=0))
    if not len(same):
        return facts, entity
    rows = np.unique(order[np.concatenate([same, same + 1])])
    contents = facts.take(rows).to_pylist()
    best: dict[tuple, tuple[str, int]] = {}
    for row, content in zip(rows.tolist(), contents, strict=True):
        version = (entity[row], number[row], known[row])
        best[version] = max(best.get(version, ("", -1)), (repr(sorted(content.items())), row))
    keep = np.ones(len(facts), bool)
    keep[rows] = False
    keep[[row for _, row in best.values()]] = True
    chosen = np.flatnonzero(keep)
    return facts.take(chosen), entity[chosen]


class _Terms:
    """Evaluates terms over one set of facts, those of one kind and window together."""

    def __init__(self, facts: pa.Table, entity: np.ndarray, asked_entity: np.ndarray, asked_time: np.ndarray):
        self._facts = facts
        number, occurred, known = (facts[name].to_numpy() for name in EVENT_COLUMNS)
        known = np.maximum(known, occurred)
        self._events = Events(entity, number, occurred, known, kernel.replaced_at(entity, number, known))
        self._before = int(asked_time.max(initial=0))
        first = min(occurred.min(initial=self._before), asked_time.min(initial=self._before))
        entities = max(entity.max(initial=0), asked_entity.max(initial=0)) + 1
        self._ask = Questions(asked_entity, asked_time, Clock(int(entities), first, self._before))
        self._codes: dict[str, tuple[np.ndarray, list[str]]] = {}

    def values(self, terms: Sequence[Term]) -> dict[Term, Any]:
        result: dict[Term, Any] = {}
        groups: dict[tuple, list[Total]] = {}
        readers: dict[tuple, list[Term]] = {}
        for term in terms:
            if isinstance(term, Total):
                groups.setdefault((term.window, term.lag, term.half_life), []).append(term)
            elif isinstance(term, Distinct):
                result[term] = self._distinct(term)
            elif isinstance(term, Since) and not self._moved():
                result[term] = self._since(term)
            else:
                readers.setdefault((term.measure, term.window, getattr(term, "column", None)), []).append(term)
        for same in groups.values():
            result.update(self._totals(same))
        for same in readers.values():
            result.update(self._ordered(same))
        return result

    def _moved(self) -> bool:
        """Is there an event that a later version moves in time?"""
        rows = np.flatnonzero(self._events.replaced < NEVER)
        return bool(len(rows))

    def _measure(self, name: str) -> np.ndarray:
        return self._facts[name].to_numpy()

    def _text(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Codes (-1: null) and texts of a column."""
        if name not in self._codes:
            coded = self._facts[name].combine_chunks().dictionary_encode()
            codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
            self._codes[name] = codes, coded.dictionary.to_pylist()
        return self._codes[name]

    def _totals(self, terms: list[Total]) -> dict[Term, np.ndarray]:
        window, lag, half_life = terms[0].window, terms[0].lag, terms[0].half_life
        names = list(dict.fromkeys(term.measure for term in terms))
        values = np.stack([self._measure(name) for name in names], axis=1)
        intervals = self._events.count(window, lag, self._before, (values != 0).any(axis=1))
        values = values[intervals.row]
        if half_life is None:
            sums = kernel.totals(intervals, values, self._ask)
        else:
            occurred = self._events.occurred[intervals.row]
            sums = kernel.decayed(intervals, occurred, values.astype(float), half_life, self._ask)
        return {term: sums[:, names.index(term.measure)] for term in terms}

    def _distinct(self, term: Distinct) -> np.ndarray:
        codes, _ = self._text(term.column)
        where = (self._measure(term.measure) != 0) & (codes >= 0)
        intervals = self._events.count(term.window, term.lag, self._before, where)
        return kernel.distinct(intervals, codes[intervals.row], self._ask)

    def _since(self, term: Since) -> np.ndarray:
        intervals = self._events.count(term.window, 0, self._before, self._measure(term.measure) != 0)
        return kernel.since(intervals, self._events.occurred[intervals.row], term.window, self._ask)

    def _ordered(self, terms: list[Term]) -> dict[Term, Any]:
        where = self._measure(terms[0].measure) != 0
        column = getattr(terms[0], "column", None)
        if column:
            where &= self._text(column)[0] >= 0
        intervals = self._events.count(terms[0].window, 0, self._before, where)
        sessions = [t for t in terms if isinstance(t, Session)]
        others = [t for t in terms if not isinstance(t, Session)]
        gaps = list(dict.fromkeys(t.gap for t in sessions))
        readers = [self._reader(t) for t in others] + [self._session(gap) for gap in gaps]
        read = ordered.sweep(self._events, intervals, self._ask, readers)
        result: dict[Term, Any] = {}
        for term, values in zip(others, read, strict=False):
            result[term] = values if isinstance(term, (LastIds, TopIds)) else np.array(values, np.int64)
        for gap, values in zip(gaps, read[len(others) :], strict=True):
            parts = np.array(values, np.int64).reshape(-1, 3)
            for term in (t for t in sessions if t.gap == gap):
                result[term] = parts[:, ("events", "skips", "ms").index(term.part)]
        return result

    def _reader(self, term: Term) -> ordered.Reader:
        if isinstance(term, (LastIds, TopIds)):
            codes, texts = self._text(term.column)
            rows = [texts[code] if code >= 0 else "" for code in codes.tolist()]
            return ordered.Last(rows, term.size) if isinstance(term, LastIds) else ordered.Top(rows, term.size)
        if isinstance(term, Since):
            return ordered.Newest()
        raise TypeError(f"no way to evaluate {term}")

    def _session(self, gap: int) -> ordered.Reader:
        heard, skips = self._measure("ms_played"), self._measure("skips")
        return ordered.OpenSession(heard.tolist(), skips.tolist(), gap)
