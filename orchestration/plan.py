"""What has to run: days with new raw files or facts left undone, and assets that are older than their parents."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from lakehouse.ingest import pending
from lakehouse.ingest_days import FIRST_DAY, DayOutOfRange, spans
from lakehouse.settings import Settings
from orchestration.unfinished import unchecked_assets, unfinished_days

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterInstance, Definitions

__all__ = ["DayOutOfRange", "pending_spans", "spans_to_run", "stale_assets"]


def pending_spans(settings: Settings, today: date | None = None) -> list[tuple[date, date]]:
    """(first, last) day of each run that would ingest every pending raw file."""
    return spans(_pending_days(settings, today))


def spans_to_run(defs: Definitions, settings: Settings, instance: DagsterInstance) -> list[tuple[date, date]]:
    """Those of ``pending_spans``, and the days that an earlier run of `ingest` did not bring to its end."""
    return spans([*_pending_days(settings), *unfinished_days(defs, settings, instance)])


def _pending_days(settings: Settings, today: date | None = None) -> list[date]:
    days = {f.file.landing_date: f.file.path for f in pending(settings)}
    last = today or datetime.now(UTC).date()  # partitions begin and end in UTC
    for day, path in days.items():
        if not FIRST_DAY <= day <= last:
            raise DayOutOfRange(
                f"{path}: landing date {day} is outside {FIRST_DAY} to {last}. Move the file to the folder of the day "
                "it arrived (raw/<entity>/date=YYYY-MM-DD/) and run again"
            )
    return list(days)


def stale_assets(defs: Definitions, instance: DagsterInstance) -> list[AssetKey]:
    """Unpartitioned assets, parents first, that never ran, ran before one of their parents did, or whose blocking
    checks did not pass."""
    graph = defs.resolve_asset_graph()
    newest: dict[AssetKey, int] = {}
    stale: list[AssetKey] = []
    unchecked = unchecked_assets(defs, instance)
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        if not node.is_materializable:
            continue
        records = instance.fetch_materializations(key, limit=1).records
        newest[key] = records[0].storage_id if records else 0
        if node.partitions_def is not None:
            continue
        parents = [p for p in node.parent_keys if p in newest]
        if not newest[key] or key in unchecked or any(p in stale or newest[p] > newest[key] for p in parents):
            stale.append(key)
    return stale
