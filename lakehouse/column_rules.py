"""The event contract compiled for columns, from the very classes that ``decode_event`` uses.

A check looks at the extremes first: where all values fit, which is nearly always, it makes no mask.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import inspect as mi

from lakehouse.events import EVENTS, Context, Device, Envelope
from lakehouse.rows import ARROW_TYPES
from lakehouse.tables.bronze import CONTEXT_FIELDS, PAYLOAD_FIELDS

Misfits = Callable[[pa.Array], np.ndarray | None]
"""Which values break a rule; None when none does. Nulls break none."""

_LONGEST_CHARACTER = 4  # bytes of UTF-8


@dataclass(frozen=True)
class Field:
    """One field of a class: may it be absent or null, and which values break its rule."""

    name: str
    required: bool
    nullable: bool
    misfits: Misfits | None


@dataclass(frozen=True)
class PayloadField:
    """Which event types have the field, which need it (both in the order of EVENTS), and what breaks its rule."""

    has: np.ndarray
    required: np.ndarray
    misfits: Misfits | None


@dataclass(frozen=True)
class Rules:
    """``schema`` is that of a line; ``types`` are the event types; ``never_null`` are the fields that may be absent
    but not null: where they are, and how a null of them is written."""

    schema: pa.Schema
    types: pa.Array
    envelope: tuple[Field, ...]
    nested: dict[str, tuple[Field, ...]]
    payload: dict[str, PayloadField]
    never_null: tuple[tuple[tuple[str, ...], re.Pattern[bytes]], ...]


@lru_cache(maxsize=1)
def rules() -> Rules:
    payload_type = pa.struct([pa.field(n, ARROW_TYPES[k]) for n, k in PAYLOAD_FIELDS.items()])
    context_type = pa.struct([pa.field(n, ARROW_TYPES[k]) for n, (k, _) in CONTEXT_FIELDS.items()])
    device_type = pa.struct([pa.field(f.name, pa.string()) for f in _fields(Device)])
    structs = {"device": device_type, "context": context_type, "payload": payload_type}
    envelope = _fields(Envelope)
    plain = {"schema_version": pa.int32()}
    names = ["event_type", *(f.name for f in envelope if f.name not in structs)]
    schema = pa.schema(
        [*(pa.field(n, plain.get(n, pa.string())) for n in names), *(pa.field(n, t) for n, t in structs.items())]
    )
    nested = {"device": _fields(Device), "context": _fields(Context)}
    places = [((f.name,), f) for f in envelope] + [((n, f.name), f) for n, fields in nested.items() for f in fields]
    return Rules(
        schema=schema,
        types=pa.array(list(EVENTS)),
        envelope=envelope,
        nested=nested,
        payload={name: _payload_field(name) for name in PAYLOAD_FIELDS},
        never_null=tuple((place, _null_of(f.name)) for place, f in places if not (f.required or f.nullable)),
    )


@lru_cache(maxsize=64)
def narrow_schema(payload_fields: frozenset[str]) -> pa.Schema:
    """The schema of a line with no other payload fields."""
    schema = rules().schema
    place = schema.get_field_index("payload")
    kept = pa.struct([f for f in schema.field(place).type if f.name in payload_fields])
    return schema.set(place, pa.field("payload", kept))


def _null_of(name: str) -> re.Pattern[bytes]:
    return re.compile(rb'"' + name.encode() + rb'"\s*:\s*null')


def _payload_field(name: str) -> PayloadField:
    """A field means the same in all event types."""
    found = [next((f for f in _payload_fields(event) if f.encode_name == name), None) for event in EVENTS.values()]
    kinds = {repr(_inner(f.type)): _inner(f.type) for f in found if f is not None}
    if len(kinds) > 1:
        raise TypeError(f"payload field {name!r} has different types in different events: {', '.join(kinds)}")
    return PayloadField(
        has=np.array([f is not None for f in found]),
        required=np.array([f is not None and (f.required or not _nullable(f.type)) for f in found]),
        misfits=_misfits(next(iter(kinds.values()))),
    )


def _payload_fields(event: type) -> tuple[mi.Field, ...]:
    (payload,) = (f for f in mi.type_info(event).fields if f.name == "payload")
    return payload.type.fields


def _fields(cls: type) -> tuple[Field, ...]:
    return tuple(
        Field(f.encode_name, f.required, _nullable(f.type), _misfits(_inner(f.type))) for f in mi.type_info(cls).fields
    )


def _nullable(kind: mi.Type) -> bool:
    return isinstance(kind, mi.UnionType) and any(isinstance(t, mi.NoneType) for t in kind.types)


def _inner(kind: mi.Type) -> mi.Type:
    if isinstance(kind, mi.UnionType):
        (kind,) = (t for t in kind.types if not isinstance(t, mi.NoneType))
    return kind


# ---------------------------------------------------------------------- kernels
def _misfits(kind: mi.Type) -> Misfits | None:
    """None where the column's own type is all there is to ``kind``."""
    if isinstance(kind, mi.LiteralType):
        return _other_than(pa.array(kind.values))
    if isinstance(kind, mi.StrType):
        return _text_misfits(kind)
    if isinstance(kind, mi.IntType | mi.FloatType):
        return _number_misfits(kind)
    if isinstance(kind, mi.ListType):
        return _list_misfits(kind)
    if isinstance(kind, mi.DateTimeType | mi.StructType):
        return None  # looked at on their own
    raise TypeError(f"the contract has a type that columns can not be checked for yet: {kind}")


def _falses(fits: pa.BooleanArray) -> np.ndarray | None:
    """Where ``fits`` says no; None when nowhere."""
    if fits.true_count + fits.null_count == len(fits):
        return None
    return ~np.asarray(fits.fill_null(True) if fits.null_count else fits)


def _other_than(allowed: pa.Array) -> Misfits:
    def misfits(values: pa.Array) -> np.ndarray | None:
        bad = _falses(pc.is_in(values, allowed))  # which calls null no member
        if bad is None or not values.null_count:
            return bad
        bad &= np.asarray(values.is_valid())
        return bad if bad.any() else None

    return misfits


def _text_misfits(kind: mi.StrType) -> Misfits | None:
    if kind.pattern is not None:
        if kind.max_length is not None or kind.min_length:
            raise TypeError(f"columns can not be checked for a pattern and a length at once: {kind}")
        return _unlike(kind.pattern)
    if kind.max_length is not None or kind.min_length:
        return _length_misfits(kind.min_length or 0, kind.max_length or np.iinfo(np.int32).max)
    return None


def _unlike(pattern: str) -> Misfits:
    def misfits(values: pa.Array) -> np.ndarray | None:
        texts = values.dictionary_encode()  # few different ones
        bad = _falses(pc.match_substring_regex(texts.dictionary, pattern))
        return None if bad is None else np.append(bad, False)[np.asarray(texts.indices.fill_null(len(bad)))]

    return misfits


def _length_misfits(low: int, high: int) -> Misfits:
    def misfits(values: pa.Array) -> np.ndarray | None:
        least, most = pc.min_max(pc.binary_length(values)).as_py().values()
        if most <= high and -(-least // _LONGEST_CHARACTER) >= low:
            return None
        length = pc.utf8_length(values)
        return _falses(pc.and_(pc.greater_equal(length, low), pc.less_equal(length, high)))

    return misfits


def _number_misfits(kind: mi.IntType | mi.FloatType) -> Misfits | None:
    compares = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}
    limits = [(compare, getattr(kind, name)) for name, compare in compares.items() if getattr(kind, name) is not None]
    if not limits:
        return None

    def misfits(values: pa.Array) -> np.ndarray | None:
        extremes = pc.min_max(values).as_py().values()
        if all(compare(extreme, limit) for extreme in extremes for compare, limit in limits):
            return None
        numbers = np.asarray(values.fill_null(limits[0][1]))
        fits = np.logical_and.reduce([compare(numbers, limit) for compare, limit in limits])
        return ~fits & np.asarray(values.is_valid())

    return misfits


def _list_misfits(kind: mi.ListType) -> Misfits:
    item = _misfits(kind.item_type)

    def misfits(values: pa.ListArray) -> np.ndarray | None:
        length = pc.list_value_length(values)
        good = pc.and_(pc.greater_equal(length, kind.min_length or 0), pc.less_equal(length, kind.max_length or 2**30))
        bad = ~np.asarray(good.fill_null(True))
        items = values.flatten()
        wrong = item(items) if item and items.null_count < len(items) else None
        each = ~np.asarray(items.is_valid()) if wrong is None else wrong | ~np.asarray(items.is_valid())
        bad[np.asarray(pc.list_parent_indices(values))[each]] = True
        return bad

    return misfits
