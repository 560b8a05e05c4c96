"""Delta tables as Arrow, without a JVM: what models, the command line and small checks read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

from lakehouse import delta_log
from lakehouse.contract import Table
from lakehouse.settings import Settings
from lakehouse.tables.bronze import PAYLOAD_FIELDS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

BATCH_ROWS = 2_000


class TableMissing(LookupError):
    """The table has not been made yet; the text says which command makes it."""


def dataset(settings: Settings, table: Table, version: int | None = None) -> ds.Dataset:
    """The table as an Arrow dataset; raises TableMissing."""
    delta = delta_log.open_table(settings, table, version)
    if delta is None:
        raise TableMissing(f"{table.name} does not exist in {settings.lake}; `soundlake run` makes it")
    return delta.to_pyarrow_dataset()


def read(
    settings: Settings, table: Table, columns: Sequence[str] | None = None, where: pc.Expression | None = None
) -> pa.Table:
    """Some columns of the rows that fit ``where``."""
    return dataset(settings, table).to_table(columns=list(columns) if columns else None, filter=where)


def batches(settings: Settings, table: Table, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The table in batches of at most BATCH_ROWS rows, so that memory holds one batch at a time."""
    data = dataset(settings, table)
    yield from data.to_batches(columns=list(columns) if columns else None, batch_size=BATCH_ROWS)


def text(*path: str) -> pc.Expression:
    """A string column in a filter. Compare no bare ``pc.field`` with a string.

    delta-rs writes strings as views where it merges, deletes and z-orders; pyarrow fails when it compares a file's
    statistics of views with a string. Those of a cast it does not look at.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.field(*path).cast(pa.string())


def event_columns(names: Iterable[str]) -> dict[str, pc.Expression]:
    """Columns ``names`` of bronze.events for a scan of it, fields of its payload beside the others."""
    import pyarrow.compute as pc

    return {name: pc.field("payload", name) if name in PAYLOAD_FIELDS else pc.field(name) for name in names}


def between(column: str, first: date, last: date) -> pc.Expression:
    import pyarrow.compute as pc

    return (pc.field(column) >= first) & (pc.field(column) <= last)
