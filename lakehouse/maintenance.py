"""Upkeep of Delta tables: few files of a good size, old ones removed, a short log. Safe beside batch and stream.

OPTIMIZE rewrites only partitions that have small files, a few a commit, so that a writer whose merge meets one repeats
little. VACUUM never removes what a reader that runs now may still open. A kill at any moment leaves the table whole:
every step is one Delta commit, or deletes only what no version within the horizon needs. delta-rs does the work: it
needs no JVM, and packs a small partition in milliseconds where Spark's Z-order took a minute.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from lakehouse import delta_log
from lakehouse.commits import retry_conflicts
from lakehouse.contract import Table
from lakehouse.settings import Settings
from lakehouse.storage import storage_for

KEEP = timedelta(days=7)
"""Files that a version needed within this time are kept: time travel, restores and running readers rest on them."""

LEAST_KEEP = timedelta(hours=24)
TARGET_BYTES = 128 << 20
SMALL_BYTES = TARGET_BYTES // 4
PARTITIONS_A_COMMIT = 30
CHECKPOINT_AFTER = 10
_MARGIN = timedelta(hours=1)


class KeepTooShort(ValueError):
    """A retention below what running readers and streams may need."""


@dataclass(frozen=True)
class Layout:
    """Files of a table; ``worthwhile`` are the partitions (column -> value) with more than one small file."""

    files: int
    bytes: int
    small_files: int
    worthwhile: tuple[dict[str, Any], ...] = ()


@dataclass
class Upkeep:
    """What was done to a table, or would be (``dry_run``)."""

    table: str
    before: Layout
    after: Layout
    expired_rows: int = 0
    partitions: int = 0
    removed_files: int = 0
    checkpoint: bool = False
    seconds: float = 0.0
    dry_run: bool = False
    notes: list[str] = field(default_factory=list)


def layout(settings: Settings, table: Table, small_bytes: int = SMALL_BYTES) -> Layout | None:
    """How the table lies, from its log; None if it does not exist."""
    delta = delta_log.open_table(settings, table)
    if delta is None:
        return None
    sizes, *keys = delta_log.of_files(delta, "size_bytes", *(f"partition.{name}" for name in table.partition_by))
    small: dict[tuple, int] = {}
    for number, size in enumerate(sizes):
        if size < small_bytes:
            key = tuple(column[number] for column in keys)
            small[key] = small.get(key, 0) + 1
    worthwhile = sorted((key for key, count in small.items() if count > 1), key=str)
    partitions = tuple(dict(zip(table.partition_by, key, strict=True)) for key in worthwhile)
    return Layout(len(sizes), sum(sizes), sum(small.values()), partitions)


def horizon(keep: timedelta, oldest_reader: datetime | None = None, now: datetime | None = None) -> timedelta:
    """How long replaced files stay: ``keep``, and at least since an hour before the oldest run that is going on.

    Raises KeepTooShort below 24 hours: a stream's batch, a training run or a restore could find its files gone.
    """
    if keep < LEAST_KEEP:
        raise KeepTooShort(
            f"keep {keep.total_seconds() / 3600:g} h is below {LEAST_KEEP.total_seconds() / 3600:g} h, which running "
            "readers and streams may need; give --keep-hours 24 or more"
        )
    if oldest_reader is None:
        return keep
    return max(keep, (now or datetime.now(UTC)) - oldest_reader + _MARGIN)


def maintain(
    settings: Settings,
    table: Table,
    keep: timedelta = KEEP,
    oldest_reader: datetime | None = None,
    today: date | None = None,
    dry_run: bool = False,
    expire_all: bool = False,
) -> Upkeep | None:
    """Retention, OPTIMIZE, VACUUM, checkpoint and log cleanup of one table; None if it does not exist.

    Done again at once it changes nothing and makes no version. Raises KeepTooShort.
    """
    from lakehouse import retention

    kept = horizon(keep, oldest_reader)
    started = time.monotonic()
    before = layout(settings, table)
    if before is None:
        return None
    result = Upkeep(table.name, before, before, partitions=len(before.worthwhile), dry_run=dry_run)
    today = today or datetime.now(UTC).date()
    if dry_run:
        result.expired_rows = retention.expired_rows(settings, table, today)
        result.removed_files = len(_removable(settings, table, kept))
    else:
        try:
            result.expired_rows = retention.delete_expired(settings, table, today, empty=expire_all)
        except retention.EverythingExpired as kept_all:
            result.notes.append(str(kept_all))
        result.partitions = _optimize(settings, table)
        result.removed_files = _vacuum(settings, table, kept)
        result.checkpoint = _tidy_log(settings, table)
        result.after = layout(settings, table) or before
    result.seconds = time.monotonic() - started
    return result


# ---------------------------------------------------------------------- files
def _optimize(settings: Settings, table: Table) -> int:
    """Bin-pack, or Z-order where the contract asks for it, the partitions with small files; -> how many."""
    found = layout(settings, table)
    todo = list(found.worthwhile) if found else []
    for filters in _filters(table, todo):
        retry_conflicts(lambda filters=filters: _optimize_some(settings, table, filters), f"OPTIMIZE of {table.name}")
    return len(todo)


def _optimize_some(settings: Settings, table: Table, filters: list[tuple] | None) -> None:
    delta = delta_log.open_table(settings, table)
    if table.zorder_by:
        delta.optimize.z_order(list(table.zorder_by), partition_filters=filters, target_size=TARGET_BYTES)
    else:
        delta.optimize.compact(partition_filters=filters, target_size=TARGET_BYTES)


def _filters(table: Table, partitions: list[dict[str, Any]]) -> Iterator[list[tuple] | None]:
    """One filter a commit: several partitions where one column tells them apart."""
    if not table.partition_by:
        yield from [None] * bool(partitions)
    elif len(table.partition_by) == 1:
        (name,) = table.partition_by
        values = [str(one[name]) for one in partitions]
        for start in range(0, len(values), PARTITIONS_A_COMMIT):
            yield [(name, "in", values[start : start + PARTITIONS_A_COMMIT])]
    else:
        for one in partitions:
            yield [(name, "=", str(value)) for name, value in one.items()]


def _vacuum(settings: Settings, table: Table, keep: timedelta) -> int:
    """Remove files that no version within ``keep`` needs; -> how many. Nothing to do makes no version."""
    found = _removable(settings, table, keep)
    if found:
        hours = _hours(keep)
        delta_log.open_table(settings, table).vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
    return len(found)


def _removable(settings: Settings, table: Table, keep: timedelta) -> list[str]:
    """Replaced files, and those that a killed writer left behind, both older than ``keep``."""
    delta = delta_log.open_table(settings, table)
    return delta.vacuum(_hours(keep), dry_run=True, enforce_retention_duration=False, full=True)


def _hours(keep: timedelta) -> int:
    return math.ceil(keep / timedelta(hours=1))


# ---------------------------------------------------------------------- log
def _tidy_log(settings: Settings, table: Table) -> bool:
    """Checkpoint after CHECKPOINT_AFTER commits without one, then drop log files older than Delta keeps them (30 days).

    The order matters: the log before a checkpoint is needed until the checkpoint lies there.
    """
    delta = delta_log.open_table(settings, table)
    if delta is None or delta.version() - _last_checkpoint(settings, table) < CHECKPOINT_AFTER:
        return False
    delta.create_checkpoint()
    delta.cleanup_metadata()
    return True


def _last_checkpoint(settings: Settings, table: Table) -> int:
    """Version of the last checkpoint, -1 without one."""
    path = f"{table.layer}/{table.short_name}/_delta_log/_last_checkpoint"
    try:
        with storage_for(settings.lake, settings.s3).open_read(path) as stream:
            return int(json.load(stream)["version"])
    except FileNotFoundError:
        return -1
