"""What earlier runs left undone: a kill between two steps, or a blocking check that did not pass."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

from assets.describe import key_of
from lakehouse import delta_log
from lakehouse.settings import Settings
from lakehouse.tables.bronze import EVENTS, FILES
from lakehouse.tables.silver import ADS, FEEDBACK, LISTENS
from orchestration.runner import RANGE_END, RANGE_START

if TYPE_CHECKING:
    from dagster import AssetCheckKey, AssetKey, DagsterInstance, Definitions

_FACTS = (LISTENS, FEEDBACK, ADS)
_PAGE = 1000


def unfinished_days(defs: Definitions, settings: Settings, instance: DagsterInstance) -> set[date]:
    """Landing days that are in the ledger, but whose facts are older or failed a blocking check.

    The ledger is closed before silver is written: without this a run that is killed in between would leave its days
    out for good.
    """
    ledger = _ledger_days(settings)
    days: set[date] = set()
    for table in _FACTS:
        made = _made_at(instance, key_of(table))
        days |= {day for day, closed in ledger.items() if made.get(day, 0.0) < closed}
    for key, record in _failed_checks(defs, instance):
        if key.asset_key in {key_of(table) for table in (EVENTS, *_FACTS)}:
            run = instance.get_run_by_id(record.run_id)
            days |= set(_range_of(run.tags if run else {})) & set(ledger)
    return days


def unchecked_assets(defs: Definitions, instance: DagsterInstance) -> set[AssetKey]:
    """Assets whose blocking checks failed, or did not end, the last time they were made."""
    return {key.asset_key for key, _ in _failed_checks(defs, instance)}


def _failed_checks(defs: Definitions, instance: DagsterInstance) -> Iterator[tuple[AssetCheckKey, object]]:
    """Blocking checks whose last execution is not a success, with its record."""
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

    graph = defs.resolve_asset_graph()
    keys = [key for key in graph.asset_check_keys if graph.get(key).blocking]
    for key, record in instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).items():
        if record.status is not Status.SUCCEEDED:
            yield key, record


def _ledger_days(settings: Settings) -> dict[date, float]:
    """landing day -> when the last of its files was finished, epoch seconds."""
    table = delta_log.open_table(settings, FILES)
    if table is None:
        return {}
    rows = table.to_pyarrow_table(columns=["landing_date", "ingested_at"])
    last = rows.group_by("landing_date").aggregate([("ingested_at", "max")]).to_pydict()
    stamps = [when.timestamp() for when in last["ingested_at_max"]]
    return dict(zip(last["landing_date"], stamps, strict=True))


def _made_at(instance: DagsterInstance, key: AssetKey) -> dict[date, float]:
    """partition day -> when the asset was last made for it, epoch seconds."""
    from dagster import AssetRecordsFilter, DagsterEventType

    ids = list(instance.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION).values())
    made = {}
    for start in range(0, len(ids), _PAGE):
        wanted = AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + _PAGE])
        for record in instance.fetch_materializations(wanted, limit=_PAGE).records:
            made[date.fromisoformat(record.partition_key)] = record.timestamp
    return made


def _range_of(tags: dict[str, str]) -> Iterator[date]:
    if RANGE_START not in tags:
        return
    day, last = date.fromisoformat(tags[RANGE_START]), date.fromisoformat(tags[RANGE_END])
    while day <= last:
        yield day
        day += timedelta(days=1)
