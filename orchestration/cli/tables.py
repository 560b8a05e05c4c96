"""`soundlake tables`, `maintain`, `restore`, `quarantine`, `status`, `quality`, `docs`: look at the lake, keep it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError

quarantine_app = typer.Typer(help="Raw lines that could not be used.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(tables)
    app.command()(maintain)
    app.command()(restore)
    app.command()(quality)
    app.command()(status)
    app.command(hidden=True)(docs)
    quarantine_app.command("list")(quarantine_list)
    quarantine_app.command("replay")(quarantine_replay)
    app.add_typer(quarantine_app, name="quarantine")


def tables(
    name: Annotated[str | None, typer.Argument(help="One table, such as silver.listens.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Changes that the contracts ask for; nothing is done.")] = False,
    lake: LakeOption = None,
) -> None:
    """Version, rows, files and last writer of every table; with a name its columns and latest versions."""
    from orchestration.cli import table_views

    settings = settings_for(lake)
    chosen = [_table(name)] if name else None
    if plan:
        table_views.print_plan(settings, chosen)
    elif chosen:
        table_views.print_table(settings, chosen[0])
    else:
        console.print(table_views.table_grid(settings))


def _table(name: str):
    from lakehouse.tables import get_table

    try:
        return get_table(name)
    except KeyError as error:
        raise CommandError(error.args[0]) from None


def maintain(
    names: Annotated[list[str] | None, typer.Argument(help="Tables; all of them if none is named.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    keep_hours: Annotated[float, typer.Option(help="Keep replaced files at least this long, 24 or more.")] = 168,
    expire_all: Annotated[
        bool, typer.Option("--expire-all", help="Retention may empty a table whose rows are all too old.")
    ] = False,
    lake: LakeOption = None,
) -> None:
    """Retention, OPTIMIZE, VACUUM and log cleanup: the job `maintenance`, now."""
    from lakehouse.maintenance import horizon
    from orchestration.cli.table_views import print_upkeep

    horizon(timedelta(hours=keep_hours))
    settings = settings_for(lake)
    config = {
        "tables": [_table(name).name for name in names or []],
        "keep_hours": keep_hours,
        "dry_run": dry_run,
        "expire_all": expire_all,
    }
    if not print_upkeep(settings, config):
        raise typer.Exit(1)


def restore(
    name: Annotated[str, typer.Argument(help="Table, such as silver.listens.")],
    version: Annotated[int | None, typer.Option(help="Version to go back to (`soundlake tables NAME`).")] = None,
    before: Annotated[datetime | None, typer.Option(help="Go back to the last version before this time, UTC.")] = None,
    again: Annotated[
        bool, typer.Option("--read-again", help="Make the raw files that were read since pending again.")
    ] = False,
    lake: LakeOption = None,
) -> None:
    """Go back to an earlier version of a table after a bad load; a new version, so that it can be undone."""
    from lakehouse import restore as going_back

    settings = settings_for(lake)
    moment = before.replace(tzinfo=UTC) if before else None
    done = going_back.restore(settings, _table(name), version, moment)
    console.print(
        f"{done.table} is as it was at version {done.to_version} (now version {done.version}): "
        f"{done.rows_before:,} rows before, {done.rows_after:,} now"
    )
    console.print(f"Undo: [bold]soundlake restore {done.table} --version {done.version - 1}[/]")
    if again:
        count = going_back.read_again(settings, done.read_since)
        console.print(f"{count} raw files are pending again; next: [bold]soundlake run[/]")
    elif done.read_since:
        console.print(
            f"{len(done.read_since)} raw files were read since that version, and the ledger keeps them as done:"
        )
        for path in done.read_since[:10]:
            console.print(f"  {path}", markup=False)
        console.print("A file that you replace or mend is read by the next [bold]soundlake run[/] by itself.")
        command = f"soundlake restore {done.table} --version {done.to_version} --read-again"
        console.print(f"To read all of them again: [bold]{command}[/]")


def quality(
    browser: Annotated[bool, typer.Option(help="Open it in a browser.")] = True, lake: LakeOption = None
) -> None:
    """The quality page: every check of every table, failing rows, the last 28 days, quarantine by reason."""
    from lakehouse.quality.store import newest_page

    page = newest_page(settings_for(lake))
    if page is None:
        raise CommandError("no checks have run yet; `soundlake run` runs them")
    console.print(f"{page.as_uri()}", markup=False)
    if browser:
        typer.launch(page.as_uri())


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
