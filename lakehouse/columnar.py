"""The event contract, column by column: the same verdict as ``decode_event``, for a batch of lines at once.

Decoding and checking every line in Python costs more than all of Spark. Here pyarrow's JSON reader takes a whole batch
and the rules of the contract run as column kernels. It only ever says "surely good": whatever it does not understand,
from a broken line to a harmless rarity such as an escape, is left for ``decode_event``, which alone judges and gives
the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from lakehouse.column_rules import Field, Rules, narrow_schema, rules
from lakehouse.events import CLOCK_SKEW, EARLIEST
from lakehouse.lines import Lines
from lakehouse.rows import one_array

LONGEST = 1 << 16
"""Longer lines are left: the reader's blocks stay small."""

_FEW = 32
_UTC_US = pa.timestamp("us", "UTC")
_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$"
_BEFORE_A_VALUE = tuple(b":,[ \t\r\n-")
_seen: set[str] = set()  # payload fields of the lines so far
_NO_NUMBER = (b"NaN", b"Inf")  # JSON has none of these, the reader takes them


def surely_good(lines: Lines, landing_date: date | None) -> tuple[np.ndarray, pa.Table | None]:
    """-> (places of the lines that are good beyond doubt, their fields as a table; None when there are none).

    The table has the contract's fields: ``occurred_at`` and ``received_at`` as times, ``device``, ``context`` and
    ``payload`` as structs, payload fields of other event types null. Times are checked against ``landing_date``.
    """
    parts = []
    for places, table in _read(_plain(lines), lines):
        keep = _checked(table, landing_date)
        if keep is not None:
            good, table = keep
            parts.append((places[good], table))
    if not parts:
        return np.empty(0, np.int64), None
    return np.concatenate([p for p, _ in parts]), pa.concat_tables([t for _, t in parts])


def _plain(lines: Lines) -> np.ndarray:
    """Places of the lines without anything odd in them."""
    data = np.frombuffer(lines.data, np.uint8)
    lengths = lines.ends - lines.starts
    filled = lengths > 1
    odd = ~filled | (lengths > LONGEST)
    odd[filled] |= data[lines.starts[filled]] != ord("{")
    odd[filled] |= data[lines.ends[filled] - 1] != ord("}")
    odd[list(lines.faults)] = True
    for strange in (_control(data, lines), _escapes(lines.data, data), *(_values(data, w) for w in _NO_NUMBER)):
        place = np.searchsorted(lines.starts, strange, side="right") - 1
        inside = (place >= 0) & (strange < lines.ends[place])
        odd[place[inside]] = True
    return np.flatnonzero(~odd)


def _control(data: np.ndarray, lines: Lines) -> np.ndarray:
    """Places of control characters other than spaces; unless there are none but the line breaks between lines."""
    control = data < ord(" ")
    outside = len(data) - int((lines.ends - lines.starts).sum())
    if outside <= len(lines) and np.count_nonzero(control) == outside:
        return np.empty(0, np.int64)
    places = np.flatnonzero(control)
    return places[~np.isin(data[places], (9, 13))]


def _escapes(text: bytes, data: np.ndarray) -> np.ndarray:
    return np.flatnonzero(data == ord("\\")) if b"\\" in text else np.empty(0, np.int64)


def _values(data: np.ndarray, word: bytes) -> np.ndarray:
    """Places of the three letters of ``word`` where a JSON value may begin.

    The letters are sought as pairs, which are rarer than single ones: the first two at even places, or else the last
    two.
    """
    pairs = data[: len(data) // 2 * 2].view("<u2")
    even, odd = (2 * np.flatnonzero(pairs == int.from_bytes(word[i : i + 2], "little")) for i in (0, 1))
    places = np.concatenate([even, odd - 1])
    places = places[(places > 0) & (places < len(data) - 2)]
    for i, letter in enumerate(word):
        places = places[data[places + i] == letter]
    return places[np.isin(data[places - 1], _BEFORE_A_VALUE)] if len(places) else places


def _read(places: np.ndarray, lines: Lines) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Places of lines and their table by the JSON reader; the half with a broken line is halved again."""
    if not len(places):
        return
    block = lines.block(places)
    table = _table(block)
    if table is not None and table.num_rows == len(places) and not _has_wrong_null(table, block):
        yield places, table
    elif len(places) > _FEW:
        for half in np.array_split(places, 2):
            yield from _read(half, lines)


def _table(block: bytes) -> pa.Table | None:
    """The reader's table. It is asked for the payload fields that there were so far: each costs it a null a row."""
    if not block.isascii():
        try:
            block.decode("utf-8")
        except UnicodeDecodeError:
            return None
    table = _read_json(block, narrow_schema(frozenset(_seen)), "error")
    if table is None:  # a field that is new or no one's, or the block is broken
        table = _read_json(block, rules().schema, "ignore")
        if table is not None:
            payload = one_array(table.column("payload"))
            _seen.update(f.name for f in payload.type if payload.field(f.name).null_count < len(payload))
    return table


def _read_json(block: bytes, schema: pa.Schema, unknown_fields: str) -> pa.Table | None:
    try:
        return pj.read_json(
            pa.BufferReader(block),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unknown_fields),
        )
    except pa.ArrowInvalid:
        return None


def _has_wrong_null(table: pa.Table, block: bytes) -> bool:
    """Is there a null in a field that may be absent, but not null? In the table both look the same."""
    absent = [null for place, null in rules().never_null if _column(table, place).null_count]
    if not absent or not len(_values(np.frombuffer(block, np.uint8), b"nul")):
        return False
    return any(null.search(block) for null in absent)


def _column(table: pa.Table, place: tuple[str, ...]) -> pa.Array:
    column = one_array(table.column(place[0]))
    return column.field(place[1]) if len(place) > 1 else column


# ---------------------------------------------------------------------- rules on columns
def _checked(table: pa.Table, landing_date: date | None) -> tuple[np.ndarray, pa.Table] | None:
    """Places and rows that fit every rule."""
    law = rules()
    columns = {name: one_array(table.column(name)) for name in table.column_names}
    kind = pc.index_in(columns["event_type"], law.types)
    kinds = np.asarray(kind.fill_null(0))
    bad = ~np.asarray(kind.is_valid())
    _mark(bad, columns, law.envelope)
    for name, fields in law.nested.items():
        _mark(bad, {f.name: columns[name].field(f.name) for f in fields}, fields)
    bad |= ~np.asarray(columns["payload"].is_valid())
    columns["payload"] = _payload(bad, columns["payload"], kinds, law)
    for name in ("occurred_at", "received_at"):
        times = _times(bad, columns[name])
        if times is None:
            return None
        columns[name] = times
    bad |= ~_times_fit(columns["occurred_at"], columns["received_at"], landing_date)
    result = pa.table(columns)
    return np.flatnonzero(~bad), result.filter(pa.array(~bad)) if bad.any() else result


def _mark(bad: np.ndarray, columns: dict[str, pa.Array], fields: tuple[Field, ...]) -> None:
    """Mark in ``bad`` the rows that break a rule of ``fields``."""
    for field in fields:
        values = columns[field.name]
        if field.misfits is not None and values.null_count < len(values):
            misfits = field.misfits(values)
            if misfits is not None:
                bad |= misfits
        if field.required and values.null_count:
            bad |= ~np.asarray(values.is_valid())


def _payload(bad: np.ndarray, payload: pa.StructArray, kinds: np.ndarray, law: Rules) -> pa.StructArray:
    """The payload with fields of other event types nulled; rows that break a rule are marked in ``bad``."""
    columns = []
    for member in law.schema.field("payload").type:
        if payload.type.get_field_index(member.name) < 0:
            values = pa.nulls(len(payload), member.type)
        else:
            values = payload.field(member.name)
        field = law.payload[member.name]
        if values.null_count < len(values):
            mine = field.has[kinds]
            misfits = field.misfits(values) if field.misfits is not None else None
            if misfits is not None:
                bad |= misfits & mine
            if (np.asarray(values.is_valid()) & ~mine).any():
                values = pc.if_else(pa.array(mine), values, pa.scalar(None, member.type))
        if values.null_count and field.required.any():
            bad |= ~np.asarray(values.is_valid()) & field.required[kinds]
        columns.append(values)
    return pa.StructArray.from_arrays(columns, fields=list(law.schema.field("payload").type))


def _times(bad: np.ndarray, texts: pa.Array) -> pa.Array | None:
    """Times of ``texts``; None if one of them has the form of a time and is none, such as a 31st of February."""
    try:
        if _look_like_times(texts):
            return texts.cast(_UTC_US)
    except pa.ArrowInvalid:
        pass
    form = np.asarray(pc.match_substring_regex(texts, _TIME).fill_null(False))
    bad |= ~form
    try:
        return pc.if_else(pa.array(form), texts, None).cast(_UTC_US)
    except pa.ArrowInvalid:  # rare, so the whole batch is left
        return None


def _look_like_times(texts: pa.Array) -> bool:
    """Of such texts, the cast takes those alone that _TIME matches: it wants digits and marks at their places too."""
    if texts.null_count:
        return False
    _, offsets, data = texts.buffers()
    offsets = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    lengths = np.diff(offsets)
    if not ((lengths == len("2026-01-01T00:00:00Z")) | (lengths > len("2026-01-01T00:00:00.Z"))).all():
        return False
    letters = np.frombuffer(data, np.uint8)
    return bool((letters[offsets[:-1] + 10] == ord("T")).all() and (letters[offsets[1:] - 1] == ord("Z")).all())


def _times_fit(occurred: pa.Array, received: pa.Array, landing_date: date | None) -> np.ndarray:
    """As ``events._check_times``, in microseconds."""
    a, b = (np.asarray(times.cast(pa.int64()).fill_null(0)) for times in (occurred, received))
    good = (a >= _micros(EARLIEST)) & (a - b <= int(CLOCK_SKEW.total_seconds() * 1e6))
    if landing_date is not None:
        latest = _micros(datetime.combine(landing_date, time.max, UTC) + CLOCK_SKEW)
        good &= (a <= latest) & (b <= latest)
    return good


def _micros(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
