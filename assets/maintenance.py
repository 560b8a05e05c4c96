"""The upkeep of all tables as one asset: retention, OPTIMIZE, VACUUM, log; each table shows what was done to it."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.describe import OWNERS, key_of
from lakehouse import retention
from lakehouse.maintenance import KEEP, Upkeep, maintain
from lakehouse.settings import Settings
from lakehouse.tables import TABLES, get_table

_COLUMNS = ("table", "rows expired", "files", "small files", "MB", "removed files", "s")


class MaintenanceConfig(dg.Config):
    """``tables``: names, empty for all. ``keep_hours``: replaced files stay at least this long, 24 or more."""

    tables: list[str] = []
    keep_hours: float = KEEP.total_seconds() / 3600
    dry_run: bool = False
    expire_all: bool = False


@dg.asset(
    key=["maintenance", "tables"],
    description="Every table kept small and readable: old rows and raw files deleted, small files packed, replaced "
    "files removed, the log shortened. `soundlake maintain --dry-run` shows what it would do.",
    group_name="maintenance",
    kinds={"deltalake"},
    owners=OWNERS,
    tags={"layer": "maintenance", "domain": "platform"},
    code_version="1",
)
def maintained_tables(
    context: dg.AssetExecutionContext, config: MaintenanceConfig, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    done: list[Upkeep] = []
    failed: dict[str, str] = {}
    keep, reader = timedelta(hours=config.keep_hours), oldest_running(context.instance, context.run_id)
    for table in [get_table(name) for name in config.tables] or TABLES.values():
        try:
            upkeep = maintain(settings, table, keep, reader, dry_run=config.dry_run, expire_all=config.expire_all)
        except Exception as error:  # the others are kept all the same; the step fails at its end
            failed[table.name] = f"{type(error).__name__}: {error}".splitlines()[0]
            context.log.error(f"{table.name}: {failed[table.name]}")
            continue
        if upkeep is not None:
            done.append(upkeep)
            context.log_event(dg.AssetObservation(key_of(table), metadata=metadata_of(upkeep)))
            for note in upkeep.notes:
                context.log.warning(note)
    raw = retention.expired_raw(settings, datetime.now(UTC).date())
    deleted = 0 if config.dry_run or config.tables else retention.delete_raw(settings, raw)
    if failed:
        raise dg.Failure(
            "; ".join(f"{name}: {text}" for name, text in failed.items()), metadata={"tables": _markdown(done)}
        )
    before, after = sum(u.before.files for u in done), sum(u.after.files for u in done)
    return dg.MaterializeResult(
        metadata={
            "summary": f"{before} files to {after}, {sum(u.removed_files for u in done)} old ones removed",
            "small files before": sum(u.before.small_files for u in done),
            "small files after": sum(u.after.small_files for u in done),
            "bytes before": sum(u.before.bytes for u in done),
            "bytes after": sum(u.after.bytes for u in done),
            "rows expired": sum(u.expired_rows for u in done),
            "raw files deleted": deleted,
            "raw files past retention, not ingested": len(raw.waiting),
            "dry run": config.dry_run,
            "tables": _markdown(done),
        }
    )


def oldest_running(instance: dg.DagsterInstance, this_run: str) -> datetime | None:
    """When the oldest other run that is going on began: it may still open files of the versions of that time."""
    going = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
    records = instance.get_run_records(dg.RunsFilter(statuses=going))
    starts = [r.create_timestamp for r in records if r.dagster_run.run_id != this_run]
    return min(starts, default=None)


def metadata_of(upkeep: Upkeep) -> dict[str, object]:
    return {
        "maintenance": "dry run" if upkeep.dry_run else "done",
        "files before": upkeep.before.files,
        "files after": upkeep.after.files,
        "small files before": upkeep.before.small_files,
        "small files after": upkeep.after.small_files,
        "bytes before": upkeep.before.bytes,
        "bytes after": upkeep.after.bytes,
        "partitions packed": upkeep.partitions,
        "rows expired": upkeep.expired_rows,
        "old files removed": upkeep.removed_files,
        "checkpoint written": upkeep.checkpoint,
    }


def _markdown(done: list[Upkeep]) -> dg.MarkdownMetadataValue:
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|---|" + "---:|" * (len(_COLUMNS) - 1)]
    for u in done:
        cells = (
            u.table,
            f"{u.expired_rows:,}",
            f"{u.before.files} → {u.after.files}",
            f"{u.before.small_files} → {u.after.small_files}",
            f"{u.before.bytes / 1e6:,.1f} → {u.after.bytes / 1e6:,.1f}",
            str(u.removed_files),
            f"{u.seconds:.1f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))
