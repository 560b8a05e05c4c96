"""The event contract, column by column: the same verdict as ``decode_event``, for a batch of lines at once.

Decoding and checking every line in Python costs more than all of Spark. Here pyarrow's JSON reader takes a whole batch
and the rules of the contract (read from the very classes that ``decode_event`` uses) run as column kernels. It only
ever says "surely good": whatever it does not understand, from a broken line to a harmless rarity such as an escape,
is left for ``decode_event``, which alone judges and gives the reason.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from msgspec import inspect as mi

from lakehouse.events import CLOCK_SKEW, EARLIEST, EVENTS, Context, Device, Envelope

LONGEST = 1 << 16
"""Longer lines are left: the reader's blocks stay small."""

_FEW = 32
_UTC_US = pa.timestamp("us", "UTC")
_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$"

_NO_NUMBER = re.compile(rb"[:,\[]\s*-?(?:NaN|Inf)")  # JSON has none of these, the reader takes them

Fits = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True)
class _Field:
    """One field of a class: may it be absent, and which values fit."""

    name: str
    required: bool
    nullable: bool
    fits: Fits | None


@dataclass(frozen=True)
class _Rules:
    """The contract, compiled."""

    schema: pa.Schema
    types: pa.Array
    envelope: tuple[_Field, ...]
    nested: dict[str, tuple[_Field, ...]]
    payload: dict[str, tuple[np.ndarray, np.ndarray, Fits | None]]
    no_null: re.Pattern[bytes]


def surely_good(lines: list[bytes], landing_date: date | None) -> tuple[np.ndarray, pa.Table | None]:
    """-> (places of the lines that are good beyond doubt, their fields as a table; None when there are none).

    The table has the contract's fields: ``occurred_at`` and ``received_at`` as times, ``device``, ``context`` and
    ``payload`` as structs, payload fields of other event types null. Times are checked against ``landing_date``.
    """
    places, block = _plain(lines)
    parts = []
    for some, table in _read(places, block, lines):
        keep = _checked(table, landing_date)
        if keep is not None:
            good, table = keep
            parts.append((some[good], table))
    if not parts:
        return np.empty(0, np.int64), None
    return np.concatenate([p for p, _ in parts]), pa.concat_tables([t for _, t in parts])


def _plain(lines: list[bytes]) -> tuple[np.ndarray, bytes]:
    """Places of the lines without anything odd in them, and these lines as one block."""
    block = b"\n".join(lines)
    lengths = np.fromiter(map(len, lines), np.int64, len(lines))
    starts = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
    data = np.frombuffer(block, np.uint8)
    filled = lengths > 1
    odd = ~filled | (lengths > LONGEST)
    odd[filled] |= data[starts[filled]] != ord("{")
    odd[filled] |= data[starts[filled] + lengths[filled] - 1] != ord("}")
    odd[np.searchsorted(starts, _strange(data, block, starts), side="right") - 1] = True
    places = np.flatnonzero(~odd)
    return places, block if len(places) == len(lines) else b"\n".join(lines[i] for i in places)


def _strange(data: np.ndarray, block: bytes, starts: np.ndarray) -> np.ndarray:
    """Places of bytes that make a line odd: control characters, line breaks inside a line, escapes."""
    control = data < 32
    if np.count_nonzero(control) == len(starts) - 1 and b"\\" not in block:
        return np.empty(0, np.int64)  # the line breaks between the lines, and nothing else
    ends = np.zeros(len(data), bool)
    ends[starts[1:] - 1] = True
    places = np.flatnonzero((control & ~ends) | (data == ord("\\")))
    return places[~np.isin(data[places], (9, 13))]


def _read(places: np.ndarray, block: bytes, lines: list[bytes]):
    """Tables of the JSON reader with the places of their lines; the half with a broken line is halved again."""
    if not len(places):
        return
    table = _table(block, len(places))
    if table is not None:
        yield places, table
    elif len(places) > _FEW:
        for half in np.array_split(places, 2):
            yield from _read(half, b"\n".join(lines[i] for i in half), lines)


def _table(block: bytes, rows: int) -> pa.Table | None:
    rules = _rules()
    try:
        block.decode("utf-8")
        if b"null" in block and rules.no_null.search(block):
            return None
        if (b"NaN" in block or b"Inf" in block) and _NO_NUMBER.search(block):
            return None
        table = pj.read_json(
            io.BytesIO(block),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pj.ParseOptions(explicit_schema=rules.schema, unexpected_field_behavior="ignore"),
        )
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None
    return table.combine_chunks() if table.num_rows == rows else None


# ---------------------------------------------------------------------- rules on columns
def _checked(table: pa.Table, landing_date: date | None) -> tuple[np.ndarray, pa.Table] | None:
    """Places and rows that fit every rule."""
    rules = _rules()
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    kind = pc.index_in(columns["event_type"], rules.types)
    known = np.asarray(kind.is_valid())
    kinds = np.asarray(kind.fill_null(0))
    good = known & _all_fit(columns, rules.envelope)
    for name, fields in rules.nested.items():
        inside = {f.name: columns[name].field(f.name) for f in fields}
        good &= np.asarray(columns[name].is_null()) | _all_fit(inside, fields)
    good &= np.asarray(columns["payload"].is_valid())
    columns["payload"], fitting = _payload(columns["payload"], kinds, rules)
    good &= fitting
    for name in ("occurred_at", "received_at"):
        form = np.asarray(pc.match_substring_regex(columns[name], _TIME).fill_null(False))
        good &= form
        text = columns[name] if form.all() else pc.if_else(pa.array(form), columns[name], None)
        try:
            columns[name] = text.cast(_UTC_US)
        except pa.ArrowInvalid:  # a 31st of February: rare, so the whole batch is left
            return None
    good &= _times_fit(columns["occurred_at"], columns["received_at"], landing_date)
    result = pa.table(columns)
    return np.flatnonzero(good), result if good.all() else result.filter(pa.array(good))


def _all_fit(columns: dict[str, pa.Array], fields: tuple[_Field, ...]) -> np.ndarray:
    good = np.True_
    for field in fields:
        values = columns[field.name]
        if field.fits is not None and values.null_count < len(values):
            good = good & np.asarray(field.fits(values).fill_null(not field.required))
        elif field.required and values.null_count:
            good = good & np.asarray(values.is_valid())
    return good


def _payload(payload: pa.StructArray, kinds: np.ndarray, rules: _Rules) -> tuple[pa.StructArray, np.ndarray]:
    """The payload with fields of other event types nulled, and which rows of it fit."""
    good = np.ones(len(payload), bool)
    columns = []
    for member in payload.type:
        values = payload.field(member.name)
        has, required, fits = rules.payload[member.name]
        if values.null_count < len(values):
            mine = has[kinds]
            if fits is not None:
                good &= np.asarray(fits(values).fill_null(True)) | ~mine
            if not mine.all():
                values = pc.if_else(pa.array(mine), values, pa.scalar(None, member.type))
        if required.any():
            good &= np.asarray(values.is_valid()) | ~required[kinds]
        columns.append(values)
    return pa.StructArray.from_arrays(columns, fields=list(payload.type)), good


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


# ---------------------------------------------------------------------- compiling the contract
@lru_cache(maxsize=1)
def _rules() -> _Rules:
    from lakehouse.rows import ARROW_TYPES
    from lakehouse.tables.bronze import CONTEXT_FIELDS, PAYLOAD_FIELDS

    payload_type = pa.struct([pa.field(n, ARROW_TYPES[k]) for n, k in PAYLOAD_FIELDS.items()])
    context_type = pa.struct([pa.field(n, ARROW_TYPES[k]) for n, (k, _) in CONTEXT_FIELDS.items()])
    device_type = pa.struct([pa.field(f.name, pa.string()) for f in _fields(Device)])
    structs = {"device": device_type, "context": context_type, "payload": payload_type}
    envelope = tuple(f for f in _fields(Envelope) if f.name not in structs)
    plain = {"schema_version": pa.int32()}
    names = ["event_type", *(f.name for f in envelope)]
    schema = pa.schema(
        [*(pa.field(n, plain.get(n, pa.string())) for n in names), *(pa.field(n, t) for n, t in structs.items())]
    )
    nested = {"device": _fields(Device), "context": _fields(Context)}
    not_null = {f.name for f in (*_fields(Envelope), *nested["device"], *nested["context"]) if not f.nullable}
    return _Rules(
        schema=schema,
        types=pa.array(list(EVENTS)),
        envelope=envelope,
        nested=nested,
        payload={name: _payload_rule(name) for name in PAYLOAD_FIELDS},
        no_null=re.compile(rb'"(?:' + "|".join(sorted(not_null)).encode() + rb')"\s*:\s*null'),
    )


def _payload_rule(name: str) -> tuple[np.ndarray, np.ndarray, Fits | None]:
    """Which event types have the field, which need it, and what fits; a field means the same in all of them."""
    found = [next((f for f in _payload_fields(event) if f.encode_name == name), None) for event in EVENTS.values()]
    kinds = {repr(_inner(f.type)): _inner(f.type) for f in found if f is not None}
    if len(kinds) > 1:
        raise TypeError(f"payload field {name!r} has different types in different events: {', '.join(kinds)}")
    has = np.array([f is not None for f in found])
    required = np.array([f is not None and (f.required or not _nullable(f.type)) for f in found])
    return has, required, _fits(next(iter(kinds.values())))


def _payload_fields(event: type) -> tuple[mi.Field, ...]:
    (payload,) = (f for f in mi.type_info(event).fields if f.name == "payload")
    return payload.type.fields


def _fields(cls: type) -> tuple[_Field, ...]:
    return tuple(
        _Field(f.encode_name, f.required, _nullable(f.type), _fits(_inner(f.type))) for f in mi.type_info(cls).fields
    )


def _nullable(kind: mi.Type) -> bool:
    return isinstance(kind, mi.UnionType) and any(isinstance(t, mi.NoneType) for t in kind.types)


def _inner(kind: mi.Type) -> mi.Type:
    if isinstance(kind, mi.UnionType):
        (kind,) = (t for t in kind.types if not isinstance(t, mi.NoneType))
    return kind


def _fits(kind: mi.Type) -> Fits | None:
    """The kernel that tells which values fit ``kind``; None where the column's own type is all there is to it."""
    if isinstance(kind, mi.LiteralType):
        allowed = pa.array(kind.values)
        return lambda values: pc.if_else(values.is_valid(), pc.is_in(values, allowed), None)
    if isinstance(kind, mi.StrType):
        return _text_fits(kind)
    if isinstance(kind, mi.IntType | mi.FloatType):
        return _number_fits(kind)
    if isinstance(kind, mi.ListType):
        return _list_fits(kind)
    if isinstance(kind, mi.DateTimeType | mi.StructType):
        return None  # looked at on their own
    raise TypeError(f"the contract has a type that columns can not be checked for yet: {kind}")


def _both(checks: list[Fits]) -> Fits | None:
    if not checks:
        return None

    def fits(values: pa.Array) -> pa.Array:
        result = checks[0](values)
        for check in checks[1:]:
            result = pc.and_(result, check(values))
        return result

    return fits


def _text_fits(kind: mi.StrType) -> Fits | None:
    checks: list[Fits] = []
    if kind.max_length is not None or kind.min_length:
        low, high = kind.min_length or 0, kind.max_length or np.iinfo(np.int32).max

        def of_length(values: pa.Array) -> pa.Array:
            length = pc.utf8_length(values)
            return pc.and_(pc.greater_equal(length, low), pc.less_equal(length, high))

        checks.append(of_length)
    if kind.pattern is not None:
        checks.append(lambda values: pc.match_substring_regex(values, kind.pattern))
    return _both(checks)


def _number_fits(kind: mi.IntType | mi.FloatType) -> Fits | None:
    limits = {"ge": pc.greater_equal, "gt": pc.greater, "le": pc.less_equal, "lt": pc.less}
    checks: list[Fits] = []
    for name, compare in limits.items():
        limit = getattr(kind, name)
        if limit is not None:
            checks.append(lambda values, compare=compare, limit=limit: compare(values, pa.scalar(limit, values.type)))
    return _both(checks)


def _list_fits(kind: mi.ListType) -> Fits:
    item = _fits(kind.item_type)

    def fits(values: pa.ListArray) -> pa.Array:
        length = pc.list_value_length(values)
        good = pc.and_(pc.greater_equal(length, kind.min_length or 0), pc.less_equal(length, kind.max_length or 2**30))
        flat = values.flatten()
        each = np.asarray(item(flat).fill_null(False)) if item else np.asarray(flat.is_valid())
        bad = np.unique(np.asarray(pc.list_parent_indices(values))[~each])
        whole = np.ones(len(values), bool)
        whole[bad] = False
        return pc.and_(good, pa.array(whole))

    return fits
