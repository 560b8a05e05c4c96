"""Checked events and entities as Arrow rows of bronze, faults as rows of quarantine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from lakehouse.catalogue import ENTITY_KEY
from lakehouse.events import Envelope
from lakehouse.lines import Line, Lines
from lakehouse.tables.bronze import CONTEXT_FIELDS, PAYLOAD_FIELDS

_KEPT = 1 << 20  # characters of a bad line that quarantine keeps

ARROW_TYPES = {
    "string": pa.string(),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "array<string>": pa.list_(pa.string()),
    "array<double>": pa.list_(pa.float64()),
}
_CONTEXT_TYPES = {name: ARROW_TYPES[kind] for name, (kind, _) in CONTEXT_FIELDS.items()}
_UTC_US = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class RawFile:
    """One file of the raw zone; ``entity`` is "events" or a catalogue entity."""

    path: str
    entity: str
    landing_date: date


def _source_fields() -> list[pa.Field]:
    return [
        pa.field("landing_date", pa.date32()),
        pa.field("source_file", pa.string()),
        pa.field("line", pa.int64()),
    ]


def _source_arrays(file: RawFile, lines: list[Line]) -> list[pa.Array]:
    count, several = len(lines), any(line.path for line in lines[:1])
    paths = pa.array([line.path for line in lines], pa.string()) if several else None
    return [
        pa.repeat(pa.scalar(file.landing_date, pa.date32()), count),
        paths if several else pa.repeat(pa.scalar(file.path, pa.string()), count),
        pa.array([line.number for line in lines], pa.int64()),
    ]


_PAYLOAD_TYPE = pa.struct([pa.field(name, ARROW_TYPES[kind]) for name, kind in PAYLOAD_FIELDS.items()])
EVENT_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("event_id", "event_type")),
        pa.field("schema_version", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("user_id", "user_key", "session_id")),
        pa.field("occurred_at", _UTC_US),
        pa.field("received_at", _UTC_US),
        *(pa.field(name, pa.string()) for name in ("clock", "device_type", "device_os", "app_version")),
        *(pa.field(name, ARROW_TYPES[kind]) for name, (kind, _) in CONTEXT_FIELDS.items()),
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


def event_batch(file: RawFile, rows: list[tuple[Line, Envelope]], pseudonym: Callable[[str], str]) -> pa.RecordBatch:
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
        *(
            pa.array([getattr(e.context, n) for e in events], ARROW_TYPES[kind])
            for n, (kind, _) in CONTEXT_FIELDS.items()
        ),
        _payload_array([e.payload for e in events]),
        pa.array([line.data.decode("utf-8") for line in lines], pa.string()),
        *_source_arrays(file, lines),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


def event_columns_batch(
    file: RawFile, lines: Lines, places: np.ndarray, table: pa.Table, pseudonym: Callable[[str], str]
) -> pa.RecordBatch:
    """As ``event_batch``, of the lines at ``places``, whose fields ``columnar.surely_good`` found."""
    fields = {name: one_array(table.column(name)) for name in table.column_names}
    users = fields["user_id"].dictionary_encode()
    keys = pa.array([pseudonym(user) for user in users.dictionary.to_pylist()], pa.string())
    device, context = fields["device"], fields["context"]
    have = {
        **fields,
        "user_key": keys.take(users.indices),
        "clock": fields["clock"].fill_null("event"),
        "device_type": pc.fill_null(pc.struct_field(device, "type"), "unknown"),
        "device_os": pc.struct_field(device, "os"),
        "app_version": pc.struct_field(device, "app_version"),
        **{name: pc.struct_field(context, name) for name in CONTEXT_FIELDS},
        "raw": _texts(lines, places),
        "landing_date": pa.repeat(pa.scalar(file.landing_date, pa.date32()), len(places)),
        "source_file": pa.array(lines.paths, pa.string()).take(pa.array(lines.files[places])),
        "line": pa.array(lines.numbers[places]),
    }
    return pa.RecordBatch.from_arrays([have[f.name] for f in EVENT_SCHEMA], schema=EVENT_SCHEMA)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """``combine_chunks`` copies, even where there is but one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _texts(lines: Lines, places: np.ndarray) -> pa.Array:
    """Lines that are known to be UTF-8, without a line break inside."""
    offsets = np.zeros(len(places) + 1, np.int32)
    np.cumsum(lines.ends[places] - lines.starts[places], out=offsets[1:])
    text = lines.block(places).replace(b"\n", b"")
    return pa.StringArray.from_buffers(len(places), pa.py_buffer(offsets), pa.py_buffer(text))


def entity_batch(file: RawFile, rows: list[tuple[Line, Struct]], pseudonym: Callable[[str], str]) -> pa.RecordBatch:
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


def _text(data: bytes) -> str:
    return data[:_KEPT].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def fault_batch(file: RawFile, rows: list[tuple[Line, str]]) -> pa.RecordBatch:
    lines = [line for line, _ in rows]
    columns = [
        pa.array([file.entity] * len(rows), pa.string()),
        pa.array([reason for _, reason in rows], pa.string()),
        pa.array([_text(line.data) for line in lines], pa.string()),
        *_source_arrays(file, lines),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=FAULT_SCHEMA)
