"""The streaming use: a state for each entity that takes events in any order and gives the values as of now.

A state is the log of the events that can still count: versions that became known within the view's longest window, the
columns that its terms read and nothing else. Late, repeated and corrected events fall into their place, because the
values are computed by the same kernel as those of training and batch. The state is bytes, to be kept wherever the
stream keeps its state; ``update`` is what ``foreachBatch`` calls with the facts of a micro-batch.

>>> result = update(view, load(keys), facts(frames, [view]).toArrow(), now)
>>> save(result.states); online.put(schema, rows_of(result.rows), as_of=now)
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from lakehouse.features.declare import FeatureView
from lakehouse.features.evaluate import EVENT_COLUMNS, TIME, evaluate, fact_columns, to_arrow

FORMAT = 1
Key = tuple[str, ...]


class StateMismatch(ValueError):
    """A state was written for another declaration of its view; the text says how to make a new one."""


class _Log(msgspec.Struct, array_like=True):
    """What a state's bytes hold: int64 columns as little-endian bytes, text columns as lists."""

    format: int
    rows: int
    numbers: dict[str, bytes]
    texts: dict[str, list[str | None]]


@dataclass(frozen=True)
class Update:
    """``states``: key -> new bytes (None: nothing is left to remember). ``rows``: keys, as_of and features."""

    states: dict[Key, bytes | None]
    rows: pa.Table


def update(view: FeatureView, states: Mapping[Key, bytes | None], events: pa.Table, now: datetime) -> Update:
    """Add ``events`` (facts, with the keys of the view) to the states of their entities.

    ``states`` holds the states of all keys in ``events``, as far as there are any; keys that are in ``states`` only are
    brought to ``now``. Events without a key of the view, or too old to count, change nothing. Applying the same events
    again gives the same states. Raises StateMismatch.
    """
    now_ms = _ms(now)
    known = {key: state for key, state in states.items() if state}
    logs = [_decode(view, key, state) for key, state in known.items()]
    facts = pa.concat_tables([_own(view, events), *logs])
    facts = facts.filter(_may_count(view, facts, now_ms))
    parts = dict(_by_key(view, facts))
    touched = list(dict.fromkeys([*keys_of(view, events), *states]))
    encoded = {key: _encode(view, parts[key]) if key in parts else None for key in touched}
    return Update(encoded, _rows(view, facts, touched, now, now_ms))


def values(view: FeatureView, states: Mapping[Key, bytes | None], now: datetime) -> pa.Table:
    """The rows of the states as of ``now``, without new events."""
    return update(view, states, no_facts(view), now).rows


def no_facts(view: FeatureView) -> pa.Table:
    """Facts of the view, with its columns and no row."""
    return _schema(view).empty_table()


def online_rows(view: FeatureView, rows: pa.Table) -> dict[str, dict[str, Any]]:
    """Rows of ``update`` as an online store takes them: key -> field -> value."""
    names = [f.name for f in view.features]
    return {view.row_key(*(row[k] for k in view.keys)): {name: row[name] for name in names} for row in rows.to_pylist()}


def _ms(now: datetime) -> int:
    if now.tzinfo is None:
        raise ValueError(f"now = {now!r} has no time zone; give one in UTC")
    return int(now.timestamp() * 1000)


def _schema(view: FeatureView) -> pa.Schema:
    texts = _texts(view)
    return pa.schema([(c, pa.string() if c in texts else pa.int64()) for c in fact_columns([view])])


def _texts(view: FeatureView) -> set[str]:
    """Text columns: the keys, and what terms tell apart."""
    return {*view.keys, *(term.column for term in view.terms if hasattr(term, "column"))}


def _own(view: FeatureView, events: pa.Table) -> pa.Table:
    """The view's columns of the events that have its keys."""
    schema = _schema(view)
    events = events.select(schema.names).cast(schema)
    for key in view.keys:
        events = events.filter(events[key].is_valid())
    return events


def _may_count(view: FeatureView, facts: pa.Table, now_ms: int) -> pa.Array:
    """Which versions to remember: by when they were known, for one that is too old itself may replace a younger one."""
    known = np.maximum(facts["known_ms"].to_numpy(), facts["occurred_ms"].to_numpy())
    return pa.array(known + view.horizon >= now_ms)


def keys_of(view: FeatureView, facts: pa.Table) -> list[Key]:
    """Keys of the entities that ``facts`` touch: those whose states ``update`` wants."""
    columns = [facts[k].to_pylist() for k in view.keys]
    return [key for key in dict.fromkeys(zip(*columns, strict=True)) if None not in key]


def _by_key(view: FeatureView, facts: pa.Table) -> Iterable[tuple[Key, pa.Table]]:
    """The log of each key: one row a version, in an order that does not depend on that of arrival."""
    order = [(name, "ascending") for name in (*view.keys, *EVENT_COLUMNS, *view.columns)]
    facts = facts.sort_by(list(dict.fromkeys(order)))
    if not len(facts):
        return
    columns = facts.to_pydict()
    keys = list(zip(*(columns[k] for k in view.keys), strict=True))
    rows = list(zip(*columns.values(), strict=True))
    keep = [i for i in range(len(rows)) if i == 0 or rows[i] != rows[i - 1]]
    begin = 0
    for place in range(1, len(keep) + 1):
        if place == len(keep) or keys[keep[place]] != keys[keep[begin]]:
            yield keys[keep[begin]], facts.take(keep[begin:place])
            begin = place


def _encode(view: FeatureView, log: pa.Table) -> bytes:
    texts = _texts(view)
    stored = [c for c in log.column_names if c not in view.keys]
    numbers = {c: log[c].to_numpy().astype("<i8").tobytes() for c in stored if c not in texts}
    strings = {c: log[c].to_pylist() for c in stored if c in texts}
    return zlib.compress(msgspec.msgpack.encode(_Log(FORMAT, len(log), numbers, strings)), 1)


def _decode(view: FeatureView, key: Key, state: bytes) -> pa.Table:
    log = msgspec.msgpack.decode(zlib.decompress(state), type=_Log)
    schema = _schema(view)
    stored = {*log.numbers, *log.texts}
    if log.format != FORMAT or stored != set(schema.names) - set(view.keys):
        raise StateMismatch(
            f"state of {view.name}[{view.row_key(*key)!r}] holds {', '.join(sorted(stored))}, the view reads "
            f"{', '.join(n for n in schema.names if n not in view.keys)}: make the states again from the facts of the "
            f"last {view.horizon // 86_400_000 or 1} days (`update` with empty states)"
        )
    columns: dict[str, Any] = {c: np.frombuffer(data, "<i8") for c, data in log.numbers.items()}
    columns |= log.texts
    columns |= {name: [part] * log.rows for name, part in zip(view.keys, key, strict=True)}
    return pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def _rows(view: FeatureView, facts: pa.Table, keys: list[Key], now: datetime, now_ms: int) -> pa.Table:
    parts = list(zip(*keys, strict=True)) if keys else [()] * len(view.keys)
    columns = {name: pa.array(part, pa.string()) for name, part in zip(view.keys, parts, strict=True)}
    asked = pa.table({**columns, TIME: pa.array([now_ms] * len(keys), pa.int64())})
    result = to_arrow(view, evaluate(view, facts, asked))
    as_of = pa.array([now] * len(keys), pa.timestamp("us", "UTC"))
    return pa.table({**columns, "as_of": as_of, **result})
