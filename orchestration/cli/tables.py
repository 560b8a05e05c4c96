"""`soundlake tables`, `quarantine`, `status`, `docs`: look at the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as Grid

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError

quarantine_app = typer.Typer(help="Raw lines that could not be used.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(tables)
    app.command()(status)
    app.command(hidden=True)(docs)
    quarantine_app.command("list")(quarantine_list)
    quarantine_app.command("replay")(quarantine_replay)
    app.add_typer(quarantine_app, name="quarantine")


def tables(
    name: Annotated[str | None, typer.Argument(help="One table, such as silver.listens.")] = None,
    lake: LakeOption = None,
) -> None:
    """Versions, rows and size of every table; with a name its columns and latest versions."""
    settings = settings_for(lake)
    if name is None:
        console.print(table_grid(settings))
        return
    from lakehouse.tables import get_table

    try:
        table = get_table(name)
    except KeyError as error:
        raise CommandError(error.args[0]) from None
    console.print(f"[bold]{table.name}[/]  {table.description}\n{settings.table_uri(table.name)}")
    grid = Grid("column", "type", "null", "pii", "rule", "description", box=None, pad_edge=False)
    for c in table.columns:
        pii = "" if c.sensitivity.value == "none" else c.sensitivity.value
        kind = c.type if len(c.type) < 40 else c.type[:37] + "…"
        grid.add_row(c.name, kind, "" if c.nullable else "never", pii, c.check.text if c.check else "", c.description)
    console.print(grid)
    _print_history(settings, table)


def _print_history(settings, table) -> None:
    from datetime import UTC, datetime

    from lakehouse import delta_log

    delta = delta_log.open_table(settings, table)
    if delta is None:
        console.print("Not made yet: `soundlake run` makes it.")
        return
    grid = Grid("version", "at (UTC)", "operation", "rows", box=None, pad_edge=False)
    for commit in delta.history(10):
        metrics = commit.get("operationMetrics") or {}
        rows = metrics.get("numTargetRowsInserted") or metrics.get("numOutputRows") or ""
        at = datetime.fromtimestamp(commit["timestamp"] / 1000, UTC)
        grid.add_row(str(commit.get("version", "")), f"{at:%Y-%m-%d %H:%M:%S}", commit.get("operation", ""), str(rows))
    console.print(grid)


def table_grid(settings) -> Grid:
    from lakehouse import delta_log
    from lakehouse.tables import TABLES

    grid = Grid(box=None, pad_edge=False)
    for title in ("table", "rows", "version", "files", "size", "written (UTC)"):
        grid.add_column(title, justify="left" if title in ("table", "written (UTC)") else "right")
    for table in TABLES.values():
        state = delta_log.state(settings, table)
        if state is None:
            grid.add_row(table.name, "-", "-", "-", "-", "not made yet")
            continue
        size = f"{state.bytes / 1e6:,.1f} MB"
        written = f"{state.written_at:%Y-%m-%d %H:%M:%S}"
        grid.add_row(table.name, f"{state.rows:,}", str(state.version), str(state.files), size, written)
    return grid


def quarantine_list(
    limit: Annotated[int, typer.Option(help="Lines to show.")] = 20,
    all_: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    lake: LakeOption = None,
) -> None:
    """Quarantined lines by file, with the reason."""
    import pyarrow.compute as pc

    from lakehouse import arrow
    from lakehouse.tables.bronze import QUARANTINE

    rows = arrow.read(settings_for(lake), QUARANTINE)
    if not all_:
        rows = rows.filter(pc.equal(rows["status"], "open"))
    rows = rows.sort_by([("source_file", "ascending"), ("line", "ascending")])
    for row in rows.slice(0, limit).to_pylist():
        mark = "" if row["status"] == "open" else " [green](resolved)[/]"
        console.print(f"{row['source_file']}:{row['line']}{mark}  [red]{_plain(row['reason'])}[/]")
        console.print(f"    {_plain((row['raw'] or '')[:160])}")
    console.print(f"{rows.num_rows:,} lines" + (f", the first {limit} shown" if rows.num_rows > limit else ""))
    if rows.num_rows:
        console.print("After a fix of the file: [bold]soundlake quarantine replay[/]")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def quarantine_replay(lake: LakeOption = None) -> None:
    """Read the files of quarantined lines again; lines that are good now go through the graph, the rest stays."""
    from lakehouse.ingest import forget_quarantined, open_lines
    from orchestration.cli.run import ingest_pending
    from orchestration.home import instance

    settings = settings_for(lake)
    before = sum(open_lines(settings).values())
    again, gone = forget_quarantined(settings)
    for path in gone:
        console.print(f"[yellow]![/] {path} is no longer in the raw zone: its lines stay in quarantine")
    if not again:
        console.print("No file to read again.")
        return
    reports = ingest_pending(settings, instance(settings))
    after = sum(open_lines(settings).values())
    console.print(f"{len(again)} files read again: {before - after:,} lines resolved, {after:,} still in quarantine")
    if not all(r.success for r in reports):
        raise typer.Exit(1)
    console.print("Next: [bold]soundlake run[/] refreshes what is made from them")


def status(lake: LakeOption = None) -> None:
    """What is pending, stale, in quarantine, registered and served."""
    from orchestration.cli.summary import print_status

    print_status(settings_for(lake))


def docs(folder: Annotated[Path, typer.Argument()] = Path("docs")) -> None:
    """Write the generated documents: data dictionary and event schema."""
    from lakehouse.dictionary import GENERATED

    folder.mkdir(exist_ok=True)
    for name, make in GENERATED.items():
        (folder / name).write_text(make())
        console.print(f"wrote {folder / name}")
