"""How a row lies in bytes (little endian), the same in every store.

=========  =======================================================================================================
0..31      header: layout number (uint32), flags (uint32), schema hash (uint64), as_of and expiry (int64, microseconds
           since 1970; expiry 0: never)
vector     float32 of every numeric field, in declared order: a reader's vector is a view of these bytes
exact      8 bytes for each number of an int64, float64 or timestamp field, in declared order
ids        for each ids field: count (uint16), then length (uint16) and UTF-8 of each string
=========  =======================================================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lakehouse.online.rows import FORMAT, Field, Row, RowError, SchemaMismatch, from_microseconds, microseconds

if TYPE_CHECKING:
    from lakehouse.online.rows import RowSchema

HEADER = struct.Struct("<IIQqq")
AS_OF_OFFSET = 16
STREAMED = 1
"""Flag of a row that was put between materialisations."""

NULL_TIME = -(2**63)
_NUMPY = {"int64": "<i8", "float32": "<f4", "float64": "<f8", "timestamp": "<i8"}


class Header(NamedTuple):
    layout: int
    flags: int
    schema_hash: int
    as_of_us: int
    expires_us: int


def header(payload: bytes) -> Header:
    """The header of any row; raises RowError for bytes that are none."""
    if len(payload) < HEADER.size or (found := Header(*HEADER.unpack_from(payload))).layout != FORMAT:
        raise RowError(f"{payload[:8]!r}… is no row of layout {FORMAT}: materialise the store again")
    return found


class Codec:
    """Rows of one schema to bytes and back."""

    def __init__(self, schema: RowSchema):
        self.schema = schema
        self.width = len(schema.vector_names)
        self._hash = schema.hash
        self._ids = [f for f in schema.fields if f.kind == "ids"]
        self._places: dict[str, tuple[int, int]] = {}  # field -> (index in the vector, byte offset of the exact value)
        index, offset = 0, HEADER.size + 4 * self.width
        for f in schema.fields:
            self._places[f.name] = (index, offset)
            index += f.size if f.numeric else 0
            offset += 8 * f.size if f.kind in ("int64", "float64", "timestamp") else 0
        self.fixed = offset
        self._dtype = self._row_type()
        self._default_row = self.encode([{}], 0)[0]
        self.default_vector = self._vector(self._default_row)

    def _row_type(self) -> np.dtype:
        names, formats, offsets = ["header", "vector"], [("V", HEADER.size), ("<f4", (self.width,))], [0, HEADER.size]
        for f in self.schema.fields:
            if f.kind in ("int64", "float64", "timestamp"):
                names.append("exact_" + f.name)
                formats.append((_NUMPY[f.kind], (f.size,)))
                offsets.append(self._places[f.name][1])
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": self.fixed})

    # ------------------------------------------------------------------ reading
    def row(self, key: str, payload: bytes | None, now_us: int) -> Row:
        """The read path: a Row whose vector is a view of ``payload``; raises SchemaMismatch."""
        if payload is None:
            return Row(self.schema, key, self.default_vector)
        layout, _, schema_hash, as_of_us, expires_us = HEADER.unpack_from(payload)
        if schema_hash != self._hash or layout != FORMAT:
            raise SchemaMismatch(
                f"view {self.schema.view}: the row of {key!r} was written with schema {schema_hash:016x}, this reader "
                f"has {self._hash:016x}; `soundlake online materialise {self.schema.view}` writes it anew"
            )
        if expires_us and expires_us <= now_us:
            return Row(self.schema, key, self.default_vector, None, as_of_us, True)
        return Row(self.schema, key, self._vector(payload), payload, as_of_us)

    def _vector(self, payload: bytes) -> np.ndarray:
        return np.frombuffer(payload, "<f4", self.width, HEADER.size)

    def values(self, payload: bytes | None) -> dict[str, Any]:
        """Every field, exact; the declared defaults for None."""
        payload = self._default_row if payload is None else payload
        ids = dict(zip((f.name for f in self._ids), self._read_ids(payload), strict=True))
        return {f.name: ids[f.name] if f.kind == "ids" else self._value(f, payload) for f in self.schema.fields}

    def _value(self, f: Field, payload: bytes) -> Any:
        index, offset = self._places[f.name]
        if f.kind == "float32":
            offset = HEADER.size + 4 * index
        numbers = np.frombuffer(payload, _NUMPY[f.kind], f.size, offset)
        if f.size > 1:
            return numbers
        number = numbers[0].item()
        if f.kind != "timestamp":
            return number
        return None if number == NULL_TIME else from_microseconds(number)

    def _read_ids(self, payload: bytes) -> Iterable[list[str]]:
        at = self.fixed
        for _ in self._ids:
            (count,) = struct.unpack_from("<H", payload, at)
            at += 2
            texts = []
            for _ in range(count):
                (length,) = struct.unpack_from("<H", payload, at)
                texts.append(payload[at + 2 : at + 2 + length].decode())
                at += 2 + length
            yield texts

    # ------------------------------------------------------------------ writing
    def encode(
        self,
        rows: Sequence[Mapping[str, Any]],
        as_of_us: int | Sequence[int] | np.ndarray,
        ttl_seconds: float | None = None,
        flags: int = 0,
    ) -> list[bytes]:
        """Rows given as field -> value; an absent or null field gets its default. Raises RowError."""
        known = set(self._places)
        for row in rows:
            if not known.issuperset(row):
                extra = ", ".join(sorted(set(row) - known))
                raise RowError(f"view {self.schema.view} has no field {extra}; it has {', '.join(self._places)}")
        columns = {name: [row.get(name) for row in rows] for name in self._places}
        return self.encode_columns(columns, len(rows), as_of_us, ttl_seconds, flags)

    def encode_columns(
        self,
        columns: Mapping[str, Sequence[Any]],
        count: int,
        as_of_us: int | Sequence[int] | np.ndarray,
        ttl_seconds: float | None = None,
        flags: int = 0,
    ) -> list[bytes]:
        """``count`` rows given by columns (lists, or NumPy arrays without nulls); ``ttl_seconds`` replaces the view's.

        Raises RowError that names the field and the value.
        """
        table = np.zeros(count, self._dtype)
        table["header"] = self._headers(count, as_of_us, ttl_seconds, flags)
        for f in self.schema.fields:
            if f.kind == "ids":
                continue
            numbers = self._numbers(f, columns[f.name], count)
            index, _ = self._places[f.name]
            if f.numeric:
                with np.errstate(over="ignore"):
                    table["vector"][:, index : index + f.size] = numbers
            if f.kind != "float32":
                table["exact_" + f.name] = numbers
        data, size = table.tobytes(), self.fixed
        fixed = [data[i * size : (i + 1) * size] for i in range(count)]
        if not self._ids:
            return fixed
        tails = zip(*([self._pack_ids(f, value) for value in columns[f.name]] for f in self._ids), strict=True)
        return [row + b"".join(tail) for row, tail in zip(fixed, tails, strict=True)]

    def _headers(self, count: int, as_of_us: Any, ttl_seconds: float | None, flags: int) -> np.ndarray:
        heads = np.zeros(count, np.dtype("<u4,<u4,<u8,<i8,<i8"))
        heads["f0"], heads["f1"], heads["f2"], heads["f3"] = FORMAT, flags, self._hash, as_of_us
        ttl = self.schema.ttl_seconds if ttl_seconds is None else ttl_seconds
        if ttl is not None:
            heads["f4"] = heads["f3"] + round(ttl * 1_000_000)
        return heads.view(f"V{HEADER.size}")

    def _numbers(self, f: Field, column: Sequence[Any], count: int) -> np.ndarray:
        """[count, size] of the field's type."""
        try:
            if isinstance(column, np.ndarray):
                found = column.astype(_NUMPY[f.kind], casting="same_kind")
            elif f.kind == "timestamp":
                found = np.array([_moment(value) for value in column], "<i8")
            elif f.size > 1:
                default = [f.default] * f.size
                found = _exact([default if v is None else _plain(v, f.default) for v in column], f)
            else:
                found = _exact([f.default if v is None else v for v in column], f)
            return found.reshape(count, f.size)
        except (TypeError, ValueError, OverflowError) as error:
            wrong = next((v for v in column if not self._fits(f, v)), None)
            raise RowError(f"view {self.schema.view}, field {f.name}: {wrong!r} is no {f.kind}[{f.size}]") from error

    @staticmethod
    def _fits(f: Field, value: Any) -> bool:
        try:
            if f.kind == "timestamp":
                _moment(value)
                return True
            return value is None or _exact(_plain(value, f.default), f).size == f.size
        except (TypeError, ValueError, OverflowError):
            return False

    def _pack_ids(self, f: Field, value: Iterable[str] | str | None) -> bytes:
        texts = [value] if isinstance(value, str) else [] if value is None else list(value)
        if len(texts) > f.size:
            raise RowError(f"view {self.schema.view}, field {f.name}: {len(texts)} ids, at most {f.size} fit")
        parts = [struct.pack("<H", len(texts))]
        for text in texts:
            try:
                data = text.encode()
                parts += [struct.pack("<H", len(data)), data]
            except (AttributeError, UnicodeEncodeError, struct.error) as error:
                raise RowError(f"view {self.schema.view}, field {f.name}: {text!r:.80} is no id") from error
        return b"".join(parts)


def _plain(value: Any, default: float) -> Any:
    return [default if v is None else v for v in value] if isinstance(value, list | tuple) else value


def _exact(values: Any, f: Field) -> np.ndarray:
    """NumPy would cut 1.5 to 1 for a whole number; a fraction is an error here."""
    found = np.array(values, _NUMPY[f.kind])
    if f.kind == "int64" and not np.array_equal(found, np.array(values)):
        raise ValueError(f"{f.name} is a whole number")
    return found


def _moment(value: Any) -> int:
    if value is None:
        return NULL_TIME
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, int):
        return value
    raise TypeError(value)
