"""What has to run: days with new raw files, and assets that are older than what they are made from."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from lakehouse.ingest import pending
from lakehouse.ingest_days import FIRST_DAY, spans
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterInstance, Definitions


class DayOutOfRange(ValueError):
    """A raw folder names a day that no partition has."""


def pending_spans(settings: Settings, today: date | None = None) -> list[tuple[date, date]]:
    """(first, last) day of each run that would ingest every pending raw file."""
    days = {f.file.landing_date: f.file.path for f in pending(settings)}
    last = today or date.today()
    for day, path in days.items():
        if not FIRST_DAY <= day <= last:
            raise DayOutOfRange(
                f"{path}: landing date {day} is outside {FIRST_DAY} to {last}. Move the file to the folder of the day "
                "it arrived (raw/<entity>/date=YYYY-MM-DD/) and run again"
            )
    return spans(days)


def stale_assets(defs: Definitions, instance: DagsterInstance) -> list[AssetKey]:
    """Unpartitioned assets, parents first, that never ran or ran before one of their parents did."""
    graph = defs.resolve_asset_graph()
    newest: dict[AssetKey, int] = {}
    stale: list[AssetKey] = []
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        if not node.is_materializable:
            continue
        records = instance.fetch_materializations(key, limit=1).records
        newest[key] = records[0].storage_id if records else 0
        if node.partitions_def is not None:
            continue
        parents = [p for p in node.parent_keys if p in newest]
        if not newest[key] or any(p in stale or newest[p] > newest[key] for p in parents):
            stale.append(key)
    return stale
