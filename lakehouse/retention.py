"""Retention by contract: rows and raw files that are older than their table keeps them are deleted.

Deleted here means gone from the newest version; the bytes go with the VACUUM of the maintenance that follows, at the
end of its horizon. The ledger keeps its rows: they are counts and names, and a raw file that is gone is not pending.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from lakehouse import arrow, delta_log
from lakehouse.commits import retry_conflicts
from lakehouse.contract import Table
from lakehouse.settings import Settings
from lakehouse.storage import storage_for
from lakehouse.tables.bronze import EVENTS

REJECTED = "raw/_rejected"


@dataclass(frozen=True)
class ExpiredRaw:
    """Raw files past the retention of ``bronze.events``. ``waiting`` are old, but not ingested yet: they stay."""

    events: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def first_kept(table: Table, today: date) -> date | None:
    """The oldest day whose rows stay; None if the contract keeps everything."""
    return today - timedelta(days=table.retention_days) if table.retention_days else None


def expired_rows(settings: Settings, table: Table, today: date) -> int:
    """Rows past the retention, from partitions and file statistics where they tell; 0 without a table."""
    import pyarrow.compute as pc

    limit = first_kept(table, today)
    if limit is None or delta_log.open_table(settings, table) is None:
        return 0
    return arrow.dataset(settings, table).count_rows(filter=pc.field(table.day_column) < limit)


class EverythingExpired(ValueError):
    """Retention would empty a table: more likely a historical data set than a service that stood still."""


def delete_expired(settings: Settings, table: Table, today: date, empty: bool = False) -> int:
    """Delete the rows past the retention; -> how many. None expired makes no version.

    Raises EverythingExpired if no row would stay, unless ``empty`` allows that.
    """
    count = expired_rows(settings, table, today)
    if count and not empty and count == delta_log.state(settings, table).rows:
        raise EverythingExpired(
            f"all {count:,} rows of {table.name} are older than its {table.retention_days} days and were kept: "
            "`soundlake maintain --expire-all` deletes them, a longer retention_days in the contract keeps them"
        )
    if count:
        condition = f"{table.day_column} < DATE '{first_kept(table, today)}'"
        retry_conflicts(lambda: delta_log.open_table(settings, table).delete(condition), f"retention of {table.name}")
    return count


def expired_raw(settings: Settings, today: date) -> ExpiredRaw:
    """Raw event files and rejected native rows that are older than bronze.events keeps its rows.

    A file's age is its landing day; that of a rejected file is when it was written.
    """
    from lakehouse.ingest import list_raw, read_ledger

    limit = first_kept(EVENTS, today)
    if limit is None:
        return ExpiredRaw()
    ledger = read_ledger(settings)
    old = [f for f in list_raw(settings, ["events"]) if f.file.landing_date < limit]
    done = [f.file.path for f in old if ledger.get(f.file.path) == f.version]
    waiting = [f.file.path for f in old if ledger.get(f.file.path) != f.version]
    rejected = [path for path, written in _rejected(settings) if written.date() < limit]
    return ExpiredRaw(tuple(done), tuple(rejected), tuple(waiting))


def delete_raw(settings: Settings, expired: ExpiredRaw) -> int:
    """Delete expired raw files; -> how many. A kill in the middle leaves the rest for the next time."""
    storage = storage_for(settings.lake, settings.s3)
    for path in (*expired.events, *expired.rejected):
        storage.delete(path)
    return len(expired.events) + len(expired.rejected)


def _rejected(settings: Settings) -> Iterator[tuple[str, datetime]]:
    """(path, time of writing, UTC) of every file of rejected native rows."""
    if settings.lake_is_local:
        for entry in storage_for(settings.lake).list(REJECTED):
            yield entry.path, datetime.fromtimestamp(int(entry.version) / 1e9, UTC)  # the version is the mtime in ns
        return
    import boto3

    from lakehouse.storage_connection import bucket_of

    prefix = settings.lake.split("://", 1)[1].partition("/")[2].strip("/")
    client = boto3.client("s3", **settings.s3.client_arguments())
    folder = f"{prefix}/{REJECTED}/".lstrip("/")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket_of(settings.lake), Prefix=folder)
    for page in pages:
        for item in page.get("Contents", ()):
            yield item["Key"][len(prefix) + 1 if prefix else 0 :], item["LastModified"]
