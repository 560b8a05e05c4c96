"""What has to run: days with new raw files or facts left undone, and assets that are older than their parents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from lakehouse.ingest import Found, pending
from lakehouse.ingest_days import DayOutOfRange, check_partition, spans
from lakehouse.settings import Settings
from orchestration.unfinished import unchecked_assets, unfinished_days

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterInstance, Definitions

Skipped = Callable[[str], None]
"""Told of a raw file that no run can take: why, and what to do."""


def pending_spans(settings: Settings, skipped: Skipped | None = None) -> list[tuple[date, date]]:
    """(first, last) day of each run that would ingest every pending raw file."""
    return spans(_pending_days(settings, skipped))


def spans_to_run(
    defs: Definitions, settings: Settings, instance: DagsterInstance, skipped: Skipped | None = None
) -> list[tuple[date, date]]:
    """Those of ``pending_spans``, and the days that an earlier run of `ingest` did not bring to its end."""
    return spans([*_pending_days(settings, skipped), *unfinished_days(defs, settings, instance)])


def _pending_days(settings: Settings, skipped: Skipped | None) -> set[date]:
    return {f.file.landing_date for f in with_partition(pending(settings, skipped=skipped), skipped)}


def with_partition(files: Iterable[Found], skipped: Skipped | None = None) -> list[Found]:
    """Those of ``files`` whose day has a partition: a run can take them. ``skipped`` is told of the others."""
    today = datetime.now(UTC).date()  # partitions begin and end in UTC
    kept = []
    for f in files:
        try:
            check_partition(f.file.landing_date, f.file.path, today)
        except DayOutOfRange as error:
            if skipped is not None:
                skipped(str(error))
        else:
            kept.append(f)
    return kept


def stale_assets(defs: Definitions, instance: DagsterInstance) -> list[AssetKey]:
    """Unpartitioned assets of the job `nightly`, parents first, that never ran, ran before one of their parents did, or
    whose blocking checks did not pass."""
    graph = defs.resolve_asset_graph()
    nightly = defs.resolve_job_def("nightly").asset_layer.selected_asset_keys
    newest: dict[AssetKey, int] = {}
    stale: list[AssetKey] = []
    unchecked = unchecked_assets(defs, instance)
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        if not node.is_materializable:
            continue
        records = instance.fetch_materializations(key, limit=1).records
        newest[key] = records[0].storage_id if records else 0
        if node.partitions_def is not None or key not in nightly:
            continue
        parents = [p for p in node.parent_keys if p in newest]
        if not newest[key] or key in unchecked or any(p in stale or newest[p] > newest[key] for p in parents):
            stale.append(key)
    return stale
