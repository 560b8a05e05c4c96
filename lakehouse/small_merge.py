"""A merge of few rows by delta-rs: it takes a tenth of a second where Spark plans and runs several jobs for seconds.

The commit is checked against every other writer's as Spark's is: what was added or removed since the table was opened,
in the partitions looked at, is a conflict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import arrow, delta_log

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from lakehouse.contract import Table

ROWS = 50_000
"""More than these are left to Spark: they would have to go through the driver's memory."""

FACT_ROWS = 400_000
"""As ROWS, for rows that were made in this process: a merge holds about 1 GB for them."""

FIRST_LOAD = "soundlake-first-load"
"""Transaction id of the append to an empty table: appends never conflict, so only one writer may have it."""

_FEW_DAYS = timedelta(days=31)


class Refused(ValueError):
    """Not for delta-rs: there are too many rows, or one breaks a rule of the table, which delta-rs does not name."""


def days_of(rows: pa.Table, first: str, last: str) -> list[date]:
    """Days between the columns ``first`` and ``last`` of all ``rows``; see ``days_between``."""
    pairs = rows.group_by([first, last] if first != last else [first]).aggregate([])
    return days_between(zip(pairs[first].to_pylist(), pairs[last].to_pylist(), strict=True))


def days_between(pairs: Iterable[tuple[date, date]]) -> list[date]:
    """Distinct days from the first to the last of each pair; of a pair more than a month apart the two alone."""
    found: set[date] = set()
    for first, last in pairs:
        apart = last - first
        found.update([last] if apart > _FEW_DAYS else [first + timedelta(n) for n in range(apart.days + 1)])
        found.add(first)
    return sorted(found)


def read_few(rows: pa.RecordBatchReader) -> pa.Table:
    """All ``rows``; raises Refused if they are more than FACT_ROWS."""
    batches, count = [], 0
    for batch in rows:
        batches.append(batch)
        count += batch.num_rows
        if count > FACT_ROWS:
            raise Refused(f"more than {FACT_ROWS} rows")
    return pa.Table.from_batches(batches, rows.schema)


def is_empty(target: DeltaTable) -> bool:
    return not delta_log.of_files(target, "size_bytes")[0]


def load_first(target: DeltaTable, rows: pa.RecordBatchReader, table: Table) -> int:
    """Append ``rows``, one a key, to the empty ``table``; -> how many, no commit for none.

    Raises Refused; it is a conflict if another writer has done so since ``target`` was opened.
    """
    from deltalake import CommitProperties, Transaction, write_deltalake

    count = 0

    def counted(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in batches:
            count += batch.num_rows
            yield batch.select(table.column_names)

    batches = counted(rows)
    first = next((batch for batch in batches if batch.num_rows), None)
    if first is None:
        return 0
    only_one = CommitProperties(app_transactions=[Transaction(FIRST_LOAD, 1)])
    with _refusals():
        whole = pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))
        kept = delta_log.parquet(table.column_names, table.stats_columns)
        write_deltalake(target, whole, mode="append", commit_properties=only_one, writer_properties=kept)
    return count


def merge_rows(target: DeltaTable, rows: pa.Table, condition: str, replaces: str | None) -> tuple[int, int]:
    """Merge ``rows`` (one a key) as ``s`` into ``target`` as ``t``; -> rows (inserted, updated), no commit for none.

    A row that is there is replaced where ``replaces`` holds. Raises Refused; a conflict is for ``retry_conflicts``.
    """
    merge = target.merge(rows, condition, source_alias="s", target_alias="t")
    if replaces:
        merge = merge.when_matched_update_all(replaces)
    with _refusals():
        done = merge.when_not_matched_insert_all().execute()
    return done["num_target_rows_inserted"], done["num_target_rows_updated"]


def leave_one(target: DeltaTable, table: Table, keys: pa.ChunkedArray, days: list[date]) -> None:
    """Of several rows of one of ``keys`` in the partitions of ``days`` leave the newest; in one commit, if any."""
    from deltalake import write_deltalake

    target.update_incremental()
    (key,), day = table.key, table.partition_by[0]
    where = pc.field(day).isin(days) & arrow.text(key).isin(keys)
    rows = (
        target.to_pyarrow_dataset()
        .to_table(filter=where)
        .sort_by([(key, "ascending"), (table.newest_by, "descending")])
    )
    ids = rows[key].combine_chunks()
    first = pa.array([True]) if len(ids) else pa.array([], pa.bool_())
    first = pa.concat_arrays([first, pc.not_equal(ids[1:], ids[:-1])])
    doubled = ids.filter(pc.invert(first)).unique()
    if not len(doubled):
        return
    kept = rows.filter(first).filter(pc.is_in(ids.filter(first), doubled))
    quoted = ", ".join("'" + one.replace("'", "''") + "'" for one in doubled.to_pylist())
    in_days = ", ".join(f"CAST('{one}' AS DATE)" for one in days)
    write_deltalake(target, kept, mode="overwrite", predicate=f"{day} IN ({in_days}) AND {key} IN ({quoted})")


@contextmanager
def _refusals() -> Iterator[None]:
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError:
        raise
    except DeltaError as error:
        if "validation" in str(error) or "null" in str(error).lower():
            raise Refused(str(error)) from error
        raise
