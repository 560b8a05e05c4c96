"""Rows of the online store: the declared fields of a view, and what a read gives back.

>>> schema = RowSchema("user_taste", (Field("plays_7d", "int64"), Field("genre_taste", "float32", size=8)))
>>> row = store.get(schema, "user-1")
>>> row.vector            # float32[9]: all numeric fields in the declared order
>>> row.values["plays_7d"], row.as_of, row.found, row.expired
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    from lakehouse.online.codec import Codec

Kind = Literal["int64", "float32", "float64", "timestamp", "ids"]
KINDS = ("int64", "float32", "float64", "timestamp", "ids")
NUMERIC = ("int64", "float32", "float64")
FORMAT = 1
"""Number of the byte layout, see ``codec``; part of every schema hash."""

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class RowError(ValueError):
    """A schema or a value that a row can not hold; the text names the view, the field and the value."""


class SchemaMismatch(RowError):
    """A stored row was written with another schema than the reader's."""


@dataclass(frozen=True)
class Field:
    """One field of a row.

    ``int64``, ``float32``, ``float64``: ``size`` numbers, part of ``Row.vector``; ``timestamp``: one moment, UTC, not
    part of the vector; ``ids``: a list of at most ``size`` strings. A null is stored as ``default`` (``ids``: the empty
    list, ``timestamp``: None), which is also what a reader gets for a missing or expired row.
    """

    name: str
    kind: Kind
    size: int = 1
    default: float = 0

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise RowError(f"field name {self.name!r}: use lower_snake_case")
        if self.kind not in KINDS:
            raise RowError(f"field {self.name}: kind {self.kind!r} is none of {', '.join(KINDS)}")
        if not 1 <= self.size < 2**16 or (self.kind == "timestamp" and self.size != 1):
            raise RowError(f"field {self.name}: {self.kind} can not have size {self.size!r}")
        if self.kind == "int64" and int(self.default) != self.default:
            raise RowError(f"field {self.name}: default {self.default!r} is no whole number")

    @property
    def numeric(self) -> bool:
        return self.kind in NUMERIC


@dataclass(frozen=True)
class RowSchema:
    """The fields of one view in their order; a row expires ``ttl_seconds`` after its ``as_of`` (None: never)."""

    view: str
    fields: tuple[Field, ...]
    ttl_seconds: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(self.fields))
        names = [f.name for f in self.fields]
        if not _NAME.match(self.view):
            raise RowError(f"view name {self.view!r}: use lower_snake_case")
        if not names or len(set(names)) != len(names):
            raise RowError(f"view {self.view}: needs fields, each once; got {', '.join(names) or 'none'}")
        if self.ttl_seconds is not None and self.ttl_seconds <= 0:
            raise RowError(f"view {self.view}: ttl_seconds {self.ttl_seconds!r} must be above 0")

    @cached_property
    def hash(self) -> int:
        """64 bits that change with the layout, a name, a kind, a size or a default; part of every stored row."""
        text = json.dumps([FORMAT, self.view, self.describe()])
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")

    @cached_property
    def codec(self) -> Codec:
        from lakehouse.online.codec import Codec

        return Codec(self)

    @cached_property
    def vector_names(self) -> list[str]:
        """What each position of ``Row.vector`` is: the field, with [index] where it has several numbers."""
        return [f.name if f.size == 1 else f"{f.name}[{i}]" for f in self.fields if f.numeric for i in range(f.size)]

    @classmethod
    def of(cls, view: str, described: Iterable[Sequence[Any]]) -> RowSchema:
        """The schema that ``describe`` told of; without a time to live."""
        fields = [
            Field(name, kind, size, int(text) if kind == "int64" else float(text))
            for name, kind, size, text in described
        ]
        return cls(view, tuple(fields))

    def describe(self) -> list[list[Any]]:
        """The fields as JSON; a default is normalised, so that 0 and 0.0 are one schema."""
        return [
            [f.name, f.kind, f.size, repr(int(f.default) if f.kind == "int64" else float(f.default))]
            for f in self.fields
        ]

    def difference(self, described: Iterable[Iterable[Any]]) -> str:
        """What sets these fields apart from ``described`` ones, for messages."""
        mine = {f[0]: tuple(f) for f in self.describe()}
        other = {f[0]: tuple(f) for f in described}
        parts = [f"{name} only here" for name in mine if name not in other]
        parts += [f"{name} only there" for name in other if name not in mine]
        parts += [f"{n}: {mine[n][1:]} here, {other[n][1:]} there" for n in mine if n in other and mine[n] != other[n]]
        return "; ".join(parts) or "the order of the fields differs"


class Row:
    """What a read gives. Missing and expired rows carry the declared defaults.

    ``vector``: read-only float32 of all numeric fields in declared order (whole numbers above 2**24 and float64 are
    rounded there, not in ``values``). ``as_of_us``: microseconds since 1970, UTC; None if the row is not found.
    """

    __slots__ = ("_payload", "_schema", "as_of_us", "expired", "found", "key", "vector")

    def __init__(
        self,
        schema: RowSchema,
        key: str,
        vector: np.ndarray,
        payload: bytes | None = None,
        as_of_us: int | None = None,
        expired: bool = False,
    ):
        self._schema, self._payload = schema, payload
        self.key, self.vector, self.as_of_us, self.expired = key, vector, as_of_us, expired
        self.found = as_of_us is not None

    @property
    def missing(self) -> bool:
        """The values are the declared defaults: there is no row, or it is expired."""
        return self._payload is None

    @property
    def as_of(self) -> datetime | None:
        """The moment the values speak of; kept for an expired row, None if there is no row."""
        return None if self.as_of_us is None else from_microseconds(self.as_of_us)

    @property
    def values(self) -> dict[str, Any]:
        """name -> int, float, NumPy array (size above 1), datetime or None, list of strings; exact."""
        return self._schema.codec.values(self._payload)

    def __repr__(self) -> str:
        state = "expired" if self.expired else "found" if self.found else "missing"
        return f"Row({self._schema.view}[{self.key!r}], {state}, as_of={self.as_of}, {self.values})"


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970; a moment without a zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)
