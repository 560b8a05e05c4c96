"""Records of a broker to rows of bronze, through the parse functions of batch.

A record is a line of the file ``kafka/<topic>/<partition>`` whose number is the offset, landed on the UTC day of its
timestamp: read again, it gives the same row.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from lakehouse.lines import Line
from lakehouse.parse import parse_lines
from lakehouse.rows import EVENT_SCHEMA, RawFile

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SOURCE = "kafka"
_US_PER_DAY = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()
PARSED_SCHEMA = pa.schema(
    [
        *EVENT_SCHEMA,
        pa.field("reason", pa.string()),
        pa.field("value", pa.binary()),
        pa.field("recorded_at", pa.timestamp("us", "UTC")),
    ]
)
"""Columns of bronze.events, then: ``reason`` why a record is bad (null: it is good), the bytes of a bad one, and the
record's own timestamp."""


def source_file(topic: str, partition: int) -> str:
    return f"{SOURCE}/{topic}/{partition}"


def coordinates(source: str) -> tuple[str, int]:
    """-> (topic, partition) of a ``source_file``."""
    _, topic, partition = source.split("/")
    return topic, int(partition)


def parse_records(records: DataFrame, key: bytes) -> DataFrame:
    """Rows of PARSED_SCHEMA, one a record; ``records`` are those of Spark's Kafka source, ``key`` the pseudonyms'."""
    from pyspark.sql.pandas.types import from_arrow_schema

    def parse_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from parse_batch(batch, key)

    wanted = records.select("topic", "partition", "offset", "timestamp", "value")
    return wanted.mapInArrow(parse_batches, from_arrow_schema(PARSED_SCHEMA))


def parse_batch(batch: pa.RecordBatch, key: bytes) -> Iterator[pa.RecordBatch]:
    """The same for one Arrow batch with the columns topic, partition, offset, timestamp (UTC), value."""
    stamps = batch["timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    columns = [batch[name].to_pylist() for name in ("topic", "partition", "offset", "value")]
    groups: dict[RawFile, list[tuple[Line, int]]] = {}
    for topic, partition, offset, value, stamp in zip(*columns, stamps, strict=True):
        file = RawFile(source_file(topic, partition), "events", date.fromordinal(_EPOCH + stamp // _US_PER_DAY))
        line = Line(offset, value or b"", None if value else "empty record")
        groups.setdefault(file, []).append((line, stamp))
    for file, lines in groups.items():
        stamp_of = {line.number: stamp for line, stamp in lines}
        value_of = {line.number: line.data for line, _ in lines}
        for good, bad in parse_lines(file, (line for line, _ in lines), key):
            if good is not None:
                yield _widen(good, stamp_of, None)
            if bad is not None:
                yield _widen(bad, stamp_of, value_of)


def _widen(rows: pa.RecordBatch, stamp_of: dict[int, int], value_of: dict[int, bytes] | None) -> pa.RecordBatch:
    numbers = rows["line"].to_pylist()
    columns = {name: rows[name] for name in rows.schema.names}
    columns["recorded_at"] = pa.array([stamp_of[n] for n in numbers], PARSED_SCHEMA.field("recorded_at").type)
    if value_of is not None:
        columns["value"] = pa.array([value_of[n] for n in numbers], pa.binary())
    arrays = [columns.get(f.name, pa.nulls(len(numbers), f.type)) for f in PARSED_SCHEMA]
    return pa.RecordBatch.from_arrays(
        [a if a.type == f.type else a.cast(f.type) for a, f in zip(arrays, PARSED_SCHEMA, strict=True)],
        schema=PARSED_SCHEMA,
    )
