"""What `soundlake tables` and `soundlake maintain` print."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table as Grid

from orchestration.cli.common import console

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.settings import Settings

_WIDE = 112  # the overview does not fold where the output is no terminal
_RIGHT = {"rows", "version", "files", "small", "size"}


def _grid(*titles: str, width: int | None = None) -> Grid:
    grid = Grid(box=None, pad_edge=False, width=width)
    for title in titles:
        grid.add_column(title, justify="right" if title in _RIGHT else "left")
    return grid


def table_grid(settings: Settings) -> Grid:
    """Every table of the lake: version, rows, files, those that are small, size, and who wrote last."""
    from lakehouse import delta_log
    from lakehouse.maintenance import layout
    from lakehouse.tables import TABLES

    grid = _grid("table", "version", "rows", "files", "small", "size", "written (UTC)", "by", width=_WIDE)
    for table in TABLES.values():
        state, found = delta_log.state(settings, table), layout(settings, table)
        if state is None or found is None:
            grid.add_row(table.name, *"-----", "not made yet", "")
            continue
        size, written = f"{state.bytes / 1e6:,.1f} MB", f"{state.written_at:%Y-%m-%d %H:%M:%S}"
        small = str(found.small_files) if found.worthwhile else "-"
        grid.add_row(
            table.name, str(state.version), f"{state.rows:,}", str(state.files), small, size, written,
            _last_writer(settings, table),
        )  # fmt: skip
    return grid


def _last_writer(settings: Settings, table: Table) -> str:
    from lakehouse import delta_log

    delta = delta_log.open_table(settings, table)
    return _writer(delta.history(1)[0]) if delta is not None else ""


def _writer(commit: dict[str, Any]) -> str:
    """Operation and engine of a commit: "MERGE, Spark"."""
    engine = commit.get("engineInfo") or ""
    name = "Spark" if "Spark" in engine else ("delta-rs" if "delta-rs" in engine else engine.split("/")[0])
    return ", ".join(part for part in (commit.get("operation", ""), name) if part)


def print_table(settings: Settings, table: Table) -> None:
    """Columns by contract, then the latest commits."""
    console.print(f"[bold]{table.name}[/]  {table.description}\n{settings.table_uri(table.name)}")
    grid = _grid("column", "type", "null", "pii", "rule", "description")
    for c in table.columns:
        pii = "" if c.sensitivity.value == "none" else c.sensitivity.value
        kind = c.type if len(c.type) < 40 else c.type[:37] + "…"
        grid.add_row(c.name, kind, "" if c.nullable else "never", pii, c.check.text if c.check else "", c.description)
    console.print(grid)
    _print_history(settings, table)


def _print_history(settings: Settings, table: Table) -> None:
    from lakehouse import delta_log

    delta = delta_log.open_table(settings, table)
    if delta is None:
        console.print("Not made yet: `soundlake run` makes it.")
        return
    grid = _grid("version", "at (UTC)", "by", "rows")
    for commit in delta.history(10):
        metrics = commit.get("operationMetrics") or {}
        rows = metrics.get("numTargetRowsInserted") or metrics.get("numOutputRows") or ""
        at = datetime.fromtimestamp(commit["timestamp"] / 1000, UTC)
        grid.add_row(str(commit.get("version", "")), f"{at:%Y-%m-%d %H:%M:%S}", _writer(commit), str(rows))
    console.print(grid)


def print_plan(settings: Settings, tables: Sequence[Table] | None = None) -> None:
    """What the next run would change in each table to follow its contract, and what it would refuse."""
    from lakehouse import evolution
    from lakehouse.tables import TABLES

    same = 0
    for table in tables or TABLES.values():
        found = evolution.plan(settings, table)
        if found is None:
            console.print(f"[dim]{table.name}[/] is not made yet")
            continue
        for change in found.changes:
            console.print(f"[green]~[/] {table.name} {change.kind}: {escape(change.text)}")
        for reason in found.refused:
            console.print(f"[red]✗[/] {table.name}: {escape(reason)}")
        same += not (found.changes or found.refused)
    console.print(f"{same} tables are as declared")


def print_upkeep(settings: Settings, config: dict[str, Any]) -> bool:
    """Run the job `maintenance` in this process; -> whether it succeeded."""
    from orchestration.definitions import defs
    from orchestration.home import instance

    with instance(settings) as dagster, console.status("keeping the tables …"):
        result = defs.resolve_job_def("maintenance").execute_in_process(
            instance=dagster,
            run_config={
                "ops": {"maintenance__tables": {"config": config}},
                "loggers": {"console": {"config": {"log_level": "WARNING"}}},
            },
            raise_on_error=False,
        )
    for event in result.get_asset_observation_events():
        _print_observation(event.asset_observation_data.asset_observation)
    made = result.get_asset_materialization_events()
    if made:
        metadata = made[0].step_materialization_data.materialization.metadata
        console.print(f"{'Would be: ' if config['dry_run'] else ''}{metadata['summary'].value}")
        for name in ("rows expired", "raw files deleted", "raw files past retention, not ingested"):
            if metadata[name].value:
                console.print(f"{name}: {metadata[name].value:,}")
    for event in result.filter_events(lambda e: e.is_step_failure):
        console.print(f"[red]✗[/] {escape(event.step_failure_data.error.message)}")
    return result.success


def _print_observation(observation: Any) -> None:
    m = {name: entry.value for name, entry in observation.metadata.items()}
    name = ".".join(observation.asset_key.path)
    size = f"{m['bytes before'] / 1e6:,.1f} → {m['bytes after'] / 1e6:,.1f} MB"
    text = f"{m['files before']} → {m['files after']} files, {size}"
    extra = [
        f"{m[key]:,} {label}"
        for key, label in (
            ("rows expired", "rows expired"),
            ("partitions packed", "partitions packed"),
            ("old files removed", "old files removed"),
        )
        if m[key]
    ]
    console.print(f"  {name:<24} {text}" + (f"  ({', '.join(extra)})" if extra else ""))
