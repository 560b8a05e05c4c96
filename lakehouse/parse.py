"""Raw files to rows: read, unzip, split, decode and check each line. Used by batch and stream alike; no Spark in here.

Every line gives exactly one row: a good one, or a fault with its reason. Nothing raises on bad data.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import BinaryIO

import pyarrow as pa
from msgspec import Struct

from lakehouse.catalogue import ENTITY_KEY, decode_entity
from lakehouse.events import ContractError, Envelope, decode_event
from lakehouse.tables.bronze import CONTEXT_FIELDS, PAYLOAD_FIELDS

BATCH_LINES = 10_000
_CHUNK = 1 << 20
_KEPT = 1 << 20  # characters of a bad line that quarantine keeps

_ARROW = {
    "string": pa.string(),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "array<string>": pa.list_(pa.string()),
}
_UTC_US = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class RawFile:
    """One file of the raw zone; ``entity`` is "events" or a catalogue entity."""

    path: str
    entity: str
    landing_date: date


@dataclass(frozen=True)
class Line:
    """A line as read: ``fault`` is set when the bytes themselves are bad."""

    number: int
    data: bytes
    fault: str | None = None


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Lines of a plain or gzipped stream, numbered from 1; a broken stream ends in one line that says why.

    Lines before the break are delivered: a truncated upload loses only what never arrived.
    """
    number, rest, empty = 0, b"", True
    try:
        for chunk in _decompressed(stream):
            empty = False
            parts = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
            rest = parts.pop()
            for part in parts:
                number += 1
                if part.strip():
                    yield Line(number, part)
    except _BrokenStream as broken:
        yield Line(number + 1, rest, str(broken))
        return
    if rest.strip():
        yield Line(number + 1, rest)
    elif empty:
        yield Line(0, b"", "empty file")


class _BrokenStream(Exception):
    pass


def _decompressed(stream: BinaryIO) -> Iterator[bytes]:
    first = stream.read(_CHUNK)
    if first[:2] != b"\x1f\x8b":
        while first:
            yield first
            first = stream.read(_CHUNK)
        return
    engine, pending, full = zlib.decompressobj(wbits=31), first, False
    while pending or full:
        if engine.eof:  # a further member of the same file, or the zeros that some tools pad it with
            pending = pending.lstrip(b"\0")
            if not pending:
                pending = stream.read(_CHUNK)
                continue
            engine = zlib.decompressobj(wbits=31)
        try:
            data = engine.decompress(pending, _CHUNK)  # bounded: a small file may unpack to a thousand times its size
        except zlib.error as error:
            raise _BrokenStream(f"corrupt gzip: {error}") from None
        if data:
            yield data
        full = len(data) == _CHUNK and not engine.eof
        pending = engine.unused_data if engine.eof else engine.unconsumed_tail
        if not pending and not full:
            pending = stream.read(_CHUNK)
    if not engine.eof:
        raise _BrokenStream("truncated gzip: the file ends in the middle of its data")


def pseudonymiser(key: bytes):
    """user_id -> pseudonym: the first 128 bits of HMAC-SHA256, in hex."""

    @lru_cache(maxsize=200_000)
    def pseudonym(user_id: str) -> str:
        return hmac.new(key, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]

    return pseudonym


def _text(data: bytes) -> str:
    return data[:_KEPT].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def _decode(file: RawFile, line: Line) -> Struct:
    if line.fault:
        raise ContractError(line.fault)
    try:
        line.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContractError(f"wrong encoding: not UTF-8 at byte {error.start} of the line") from None
    if file.entity == "events":
        return decode_event(line.data, file.landing_date)
    return decode_entity(file.entity, line.data)


def parse(file: RawFile, stream: BinaryIO, key: bytes) -> Iterator[tuple[pa.RecordBatch | None, pa.RecordBatch | None]]:
    """-> pairs (good rows, faults) of at most BATCH_LINES lines; either is None when there are none.

    Good rows have the columns of bronze.events or bronze.catalogue, faults those of ``FAULT_SCHEMA``.
    """
    pseudonym = pseudonymiser(key)
    to_batch = _event_batch if file.entity == "events" else _entity_batch
    good: list[tuple[Line, Struct]] = []
    bad: list[tuple[Line, str]] = []
    for line in read_lines(stream):
        try:
            good.append((line, _decode(file, line)))
        except ContractError as error:
            bad.append((line, str(error)))
        if len(good) + len(bad) >= BATCH_LINES:
            yield (to_batch(file, good, pseudonym) if good else None, _fault_batch(file, bad) if bad else None)
            good, bad = [], []
    if good or bad:
        yield (to_batch(file, good, pseudonym) if good else None, _fault_batch(file, bad) if bad else None)


# ---------------------------------------------------------------------- rows to Arrow
def _source_fields() -> list[pa.Field]:
    return [
        pa.field("landing_date", pa.date32()),
        pa.field("source_file", pa.string()),
        pa.field("line", pa.int64()),
    ]


def _source_arrays(file: RawFile, lines: list[Line]) -> list[pa.Array]:
    count = len(lines)
    return [
        pa.array([file.landing_date] * count, pa.date32()),
        pa.array([file.path] * count, pa.string()),
        pa.array([line.number for line in lines], pa.int64()),
    ]


_PAYLOAD_TYPE = pa.struct([pa.field(name, _ARROW[kind]) for name, kind in PAYLOAD_FIELDS.items()])
EVENT_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("event_id", "event_type")),
        pa.field("schema_version", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("user_id", "user_key", "session_id")),
        pa.field("occurred_at", _UTC_US),
        pa.field("received_at", _UTC_US),
        *(pa.field(name, pa.string()) for name in ("clock", "device_type", "device_os", "app_version")),
        *(pa.field(name, _ARROW[kind]) for name, (kind, _) in CONTEXT_FIELDS.items()),
        pa.field("payload", _PAYLOAD_TYPE),
        pa.field("raw", pa.string()),
        *_source_fields(),
    ]
)
CATALOGUE_SCHEMA = pa.schema(
    [*(pa.field(name, pa.string()) for name in ("entity", "entity_id", "user_key", "raw")), *_source_fields()]
)
FAULT_SCHEMA = pa.schema([*(pa.field(name, pa.string()) for name in ("entity", "reason", "raw")), *_source_fields()])


def _payload_array(payloads: list[Struct]) -> pa.StructArray:
    arrays = []
    for member in _PAYLOAD_TYPE:
        have = {cls: member.name in cls.__struct_fields__ for cls in set(map(type, payloads))}
        values = [getattr(p, member.name) if have[type(p)] else None for p in payloads]
        arrays.append(pa.array(values, member.type))
    return pa.StructArray.from_arrays(arrays, fields=list(_PAYLOAD_TYPE))


def _event_batch(file: RawFile, rows: list[tuple[Line, Envelope]], pseudonym) -> pa.RecordBatch:
    lines, events = [line for line, _ in rows], [event for _, event in rows]
    columns = [
        pa.array([e.event_id for e in events], pa.string()),
        pa.array([type(e).__struct_config__.tag for e in events], pa.string()),
        pa.array([e.schema_version for e in events], pa.int32()),
        pa.array([e.user_id for e in events], pa.string()),
        pa.array([pseudonym(e.user_id) for e in events], pa.string()),
        pa.array([e.session_id for e in events], pa.string()),
        pa.array([e.occurred_at for e in events], _UTC_US),
        pa.array([e.received_at for e in events], _UTC_US),
        pa.array([e.clock for e in events], pa.string()),
        pa.array([e.device.type for e in events], pa.string()),
        pa.array([e.device.os for e in events], pa.string()),
        pa.array([e.device.app_version for e in events], pa.string()),
        *(pa.array([getattr(e.context, n) for e in events], _ARROW[kind]) for n, (kind, _) in CONTEXT_FIELDS.items()),
        _payload_array([e.payload for e in events]),
        pa.array([line.data.decode("utf-8") for line in lines], pa.string()),
        *_source_arrays(file, lines),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


def _entity_batch(file: RawFile, rows: list[tuple[Line, Struct]], pseudonym) -> pa.RecordBatch:
    lines = [line for line, _ in rows]
    ids = [getattr(item, ENTITY_KEY[file.entity]) for _, item in rows]
    keys = [pseudonym(i) for i in ids] if file.entity == "users" else [None] * len(ids)
    columns = [
        pa.array([file.entity] * len(ids), pa.string()),
        pa.array(ids, pa.string()),
        pa.array(keys, pa.string()),
        pa.array([line.data.decode("utf-8") for line in lines], pa.string()),
        *_source_arrays(file, lines),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=CATALOGUE_SCHEMA)


def _fault_batch(file: RawFile, rows: list[tuple[Line, str]]) -> pa.RecordBatch:
    lines = [line for line, _ in rows]
    columns = [
        pa.array([file.entity] * len(rows), pa.string()),
        pa.array([reason for _, reason in rows], pa.string()),
        pa.array([_text(line.data) for line in lines], pa.string()),
        *_source_arrays(file, lines),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=FAULT_SCHEMA)


def utc_now() -> datetime:
    return datetime.now(UTC)
