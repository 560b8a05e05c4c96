"""What a Delta table's log says, read and written without a JVM: creation, versions, counts, history.

Spark does the data; these calls take milliseconds where Spark would plan a job.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from lakehouse.contract import Sensitivity, Table
from lakehouse.settings import Settings
from lakehouse.storage import storage_for
from lakehouse.type_text import field_json

if TYPE_CHECKING:
    import deltalake


_RECENT = 100
_UNIQUE = ("event_id", "entity_id", "raw")
_RISING = ("line", "occurred_at", "received_at")


@dataclass(frozen=True)
class TableState:
    """A table as it stands; ``written_at`` is the time of the last commit."""

    version: int
    rows: int
    files: int
    bytes: int
    written_at: datetime


def uri(settings: Settings, table: Table) -> str:
    return settings.table_uri(table.name).replace("s3a://", "s3://", 1)


def storage_options(settings: Settings) -> dict[str, str] | None:
    """How deltalake reaches the lake's bucket; credentials it finds by the usual AWS chain itself."""
    return None if settings.lake_is_local else settings.s3.deltalake_options(settings.bucket)


def open_table(settings: Settings, table: Table, version: int | None = None) -> deltalake.DeltaTable | None:
    """The table, or None if it does not exist yet. Raises StorageError where the bucket can't be used."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return DeltaTable(uri(settings, table), version=version, storage_options=storage_options(settings))
    except TableNotFoundError:
        return None
    except (DeltaError, OSError):
        if not settings.lake_is_local:  # boto3 tells a missing bucket, wrong keys and a dead server apart, in one line
            next(storage_for(settings.lake, settings.s3).list(table.layer), None)
        raise


def create(settings: Settings, table: Table) -> None:
    """Create the table by its contract (comments, CHECK constraints, properties) unless it is there."""
    from deltalake import DeltaTable, Schema

    DeltaTable.create(
        uri(settings, table),
        schema=Schema.from_json(json.dumps(schema_json(table))),
        mode="ignore",
        partition_by=list(table.partition_by) or None,
        name=table.name,
        description=table.description,
        configuration=configuration(table),
        storage_options=storage_options(settings),
        raise_if_key_not_exists=False,  # soundlake.* properties are ours
    )


def schema_json(table: Table) -> dict:
    """Delta's schema JSON, comments and all."""
    fields = []
    for column in table.columns:
        mark = "" if column.sensitivity is Sensitivity.NONE else f" [{column.sensitivity.value}]"
        fields.append(field_json(column.name, column.type, column.nullable, column.description + mark))
    return {"type": "struct", "fields": fields}


def configuration(table: Table) -> dict[str, str]:
    """Table properties, CHECK constraints among them."""
    properties = {
        "delta.minReaderVersion": "1",
        "delta.minWriterVersion": "3",  # the first that knows CHECK constraints
        "soundlake.key": ",".join(table.key),
        "soundlake.write": table.write.value,
        "delta.dataSkippingStatsColumns": ",".join(table.stats_columns),
        **{f"delta.constraints.{name}": sql for name, sql in table.constraints().items()},
        **table.properties,
    }
    if table.retention_days:
        properties["soundlake.retention_days"] = str(table.retention_days)
    return properties


def parquet(names: list[str], searched: Collection[str]) -> deltalake.WriterProperties:
    """How Parquet keeps the columns ``names`` where delta-rs writes many rows: zstd halves a file of raw lines for the
    processor time that a dictionary of values which never repeat had cost; differences of rising numbers are small;
    statistics are for what is ``searched`` by."""
    from deltalake import ColumnProperties, WriterProperties

    columns = {
        name: ColumnProperties(
            dictionary_enabled=name not in (*_UNIQUE, *_RISING),
            statistics_enabled="CHUNK" if name in searched else "NONE",
            encoding="DELTA_BINARY_PACKED" if name in _RISING else None,
        )
        for name in names
    }
    return WriterProperties(
        compression="ZSTD",
        compression_level=1,
        column_properties=columns,
        default_column_properties=ColumnProperties(statistics_enabled="NONE"),  # fields inside of structs
    )


def state(settings: Settings, table: Table) -> TableState | None:
    """Version, rows, files and bytes, from the log's statistics; None if there is no such table."""
    delta = open_table(settings, table)
    if delta is None:
        return None
    records, sizes = of_files(delta, "num_records", "size_bytes")
    stamp = delta.history(1)[0].get("timestamp", 0)
    return TableState(
        version=delta.version(),
        rows=sum(x or 0 for x in records),
        files=len(sizes),
        bytes=sum(sizes),
        written_at=datetime.fromtimestamp(stamp / 1000, UTC),
    )


def of_files(delta: deltalake.DeltaTable, *names: str) -> list[list]:
    """What the log says of each file of the table: size_bytes, num_records, partition.<column>, …"""
    files = delta.get_add_actions(flatten=True)
    return [files.column(files.schema.names.index(name)).to_pylist() for name in names]


def bytes_by_day(
    settings: Settings, table: Table, days: tuple[date | None, date | None] | None = None
) -> dict[date, int]:
    """Bytes of the files of each day of the table's ``run_partition``, of ``days`` only (both included, None: open)."""
    delta = open_table(settings, table)
    if delta is None:
        return {}
    first, last = days or (None, None)
    found: dict[date, int] = {}
    for day, size in zip(*of_files(delta, f"partition.{table.run_partition}", "size_bytes"), strict=True):
        if (first is None or day >= first) and (last is None or day <= last):
            found[day] = found.get(day, 0) + size
    return found


def last_metrics(settings: Settings, table: Table) -> dict[str, str]:
    """operationMetrics of the last commit."""
    delta = open_table(settings, table)
    return (delta.history(1)[0].get("operationMetrics") or {}) if delta is not None else {}


def has_commit(settings: Settings, table: Table, user_metadata: str) -> bool:
    """Is a commit with this userMetadata among the last ones?"""
    delta = open_table(settings, table)
    return delta is not None and any(entry.get("userMetadata") == user_metadata for entry in delta.history(_RECENT))
