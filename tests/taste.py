"""A small table with a field of every kind and its view, for tests of the online store; written without Spark."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakehouse import delta_log
from lakehouse.contract import Column, Table, Write
from lakehouse.online.rows import Field, RowSchema
from lakehouse.online.views import View
from lakehouse.settings import Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TASTE = RowSchema(
    "taste",
    (
        Field("plays", "int64"),
        Field("genres", "float32", size=3, default=0.25),
        Field("skip_rate", "float64", default=-1),
        Field("last_at", "timestamp"),
        Field("recent", "ids", size=5),
    ),
)
TABLE = Table(
    "gold.taste",
    "What a listener likes.",
    columns=(
        Column("user_key", "string", "key", nullable=False),
        Column("plays", "bigint", "plays"),
        Column("genres", "array<float>", "shares"),
        Column("skip_rate", "double", "skips / plays"),
        Column("last_at", "timestamp", "last play"),
        Column("recent", "array<string>", "last tracks"),
        Column("as_of", "timestamp", "time of the values"),
    ),
    key=("user_key",),
    write=Write.MERGE,
    properties={"delta.enableChangeDataFeed": "true"},
)
VIEW = View(TASTE, TABLE, as_of="as_of")

_TYPES = {
    "user_key": pa.string(),
    "plays": pa.int64(),
    "genres": pa.list_(pa.float32()),
    "skip_rate": pa.float64(),
    "last_at": pa.timestamp("us", "UTC"),
    "recent": pa.list_(pa.string()),
    "as_of": pa.timestamp("us", "UTC"),
}
SCHEMA = pa.schema(_TYPES)


def taste(plays: Mapping[str, int], as_of: datetime) -> pa.Table:
    """Rows with every field, some of them null, made from key -> plays."""
    rows = [
        {
            "user_key": key,
            "plays": n,
            "genres": [n / 8, 0.5, 1 / (n + 1)] if n % 5 else None,
            "skip_rate": n / 7 if n % 3 else None,
            "last_at": datetime(2026, 1, 1, tzinfo=UTC) if n % 4 else None,
            "recent": [f"t{i}" for i in range(n % 6)],
            "as_of": as_of,
        }
        for key, n in plays.items()
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def replace_table(settings: Settings, plays: Mapping[str, int], as_of: datetime) -> None:
    DeltaTable.create(
        delta_log.uri(settings, TABLE), SCHEMA, mode="ignore", configuration=TABLE.properties, name=TABLE.name
    )
    write_deltalake(delta_log.uri(settings, TABLE), taste(plays, as_of), mode="overwrite")


def append_rows(settings: Settings, plays: Mapping[str, int], as_of: datetime) -> None:
    write_deltalake(delta_log.uri(settings, TABLE), taste(plays, as_of), mode="append")


def merge_rows(settings: Settings, plays: Mapping[str, int], as_of: datetime) -> None:
    merge = DeltaTable(delta_log.uri(settings, TABLE)).merge(
        taste(plays, as_of), "s.user_key = t.user_key", source_alias="s", target_alias="t"
    )
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def delete_rows(settings: Settings, key: str) -> None:
    DeltaTable(delta_log.uri(settings, TABLE)).delete(f"user_key = '{key}'")
