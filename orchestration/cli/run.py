"""`soundlake run`: import or simulate, then bring everything that is new through the graph."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError

if TYPE_CHECKING:
    from orchestration.runner import RunReport

DEMO = {"users": 600, "tracks": 2000, "days": 16}


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    source: Annotated[
        str | None, typer.Option(help="Import this kind of data first (see `soundlake import --help`).")
    ] = None,
    path: Annotated[Path | None, typer.Option(help="Where it lies.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="Mapping file of the source `generic`.")] = None,
    lake: LakeOption = None,
    select: Annotated[
        str | None, typer.Option(help='Only these assets, as in Dagster: "gold/sequences+", "group:models".')
    ] = None,
) -> None:
    """Bring everything that is new from raw dumps to the served model.

    Without --source an empty lake gets a small simulated world. Done again, it does only what is new.
    """
    from orchestration.cli.data import import_into, simulate_into
    from orchestration.cli.summary import print_summary
    from orchestration.home import instance

    settings = settings_for(lake)
    if bool(source) != bool(path):
        raise CommandError("--source and --path go together: soundlake run --source sequences --path FOLDER")
    started = time.monotonic()
    console.print(f"[bold]soundlake[/] · lake {settings.lake}")
    _check_java()
    if source:
        console.print(f"\n[bold]Import[/] {source} from {path}")
        import_into(settings, source, path, {"mapping": mapping} if mapping else {})
    elif not _has_raw(settings):
        console.print("\n[bold]Simulate[/] a listening world, because the lake is empty")
        simulate_into(settings, **DEMO)
    reports = _run_jobs(settings, instance(settings), select)
    print_summary(settings, reports, time.monotonic() - started)
    if any(not r.success for r in reports):
        raise typer.Exit(1)


def _check_java() -> None:
    from lakehouse.spark import check_java

    check_java()


def _has_raw(settings) -> bool:
    from lakehouse.ingest import list_raw

    return bool(list_raw(settings))


def print_skipped(reason: str) -> None:
    """One raw file that no run can take does not hold up the others."""
    console.print(f"[yellow]![/] skipped {escape(reason)}")


def ingest_pending(settings, instance) -> list[RunReport]:
    """Job `ingest` for every span of days with pending raw files or unfinished facts; stops at the first failure."""
    from orchestration.definitions import defs
    from orchestration.plan import spans_to_run
    from orchestration.runner import run_job

    reports: list[RunReport] = []
    for first, last in spans_to_run(defs, settings, instance, print_skipped):
        console.print(f"\n[bold]Ingest[/] raw files that landed from {first} to {last}")
        reports.append(run_job(defs, "ingest", instance, console, days=(first, last)))
        if not reports[-1].success:
            break
    return reports


def _run_jobs(settings, instance, select: str | None) -> list[RunReport]:
    """Facts of the pending days, then every asset that is older than its parents (or what was selected)."""
    from orchestration.definitions import defs
    from orchestration.plan import stale_assets
    from orchestration.runner import run_job

    chosen = _selected(defs, select)
    wants_facts = chosen is None or any(not _unpartitioned(defs, key) for key in chosen)
    reports = ingest_pending(settings, instance) if wants_facts else []
    if any(not r.success for r in reports):
        return reports
    keys = stale_assets(defs, instance) if chosen is None else [k for k in chosen if _unpartitioned(defs, k)]
    if keys:
        console.print(f"\n[bold]Refresh, train, publish[/]: {len(keys)} assets")
        reports.append(run_job(defs, "nightly", instance, console, assets=keys))
    elif not reports:
        console.print("\nNothing is new: every asset is as young as what it is made from.")
    return reports


def _selected(defs, select: str | None):
    import dagster as dg

    if not select:
        return None
    graph = defs.resolve_asset_graph()
    try:
        keys = dg.AssetSelection.from_string(select).resolve(graph)
    except Exception as error:
        raise CommandError(f"--select {select!r} is not an asset selection: {error}") from None
    if not keys:
        known = ", ".join(sorted(k.to_user_string() for k in graph.materializable_asset_keys))
        raise CommandError(f"--select {select!r} names no asset; there are: {known}")
    return [key for key in graph.toposorted_asset_keys if key in keys]


def _unpartitioned(defs, key) -> bool:
    node = defs.resolve_asset_graph().get(key)
    return node.is_materializable and node.partitions_def is None
