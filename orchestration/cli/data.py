"""`soundlake import`, `soundlake simulate`: fill the raw zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from lakehouse.settings import Settings
from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError


def register(app: typer.Typer) -> None:
    app.command("import")(import_)
    app.command()(simulate)


def import_(
    source: Annotated[str, typer.Argument(help="sequences, lastfm1k, eventsim or generic.")],
    path: Annotated[Path, typer.Argument(help="File or folder in the source's own format.")],
    mapping: Annotated[Path | None, typer.Option(help="Mapping file of the source `generic`.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="Further option of the source, name=value.")] = None,
    lake: LakeOption = None,
) -> None:
    """Turn a native data set into raw events and catalogue dumps; `soundlake run` takes them from there."""
    options: dict[str, Any] = {"mapping": mapping} if mapping else {}
    for item in option or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise CommandError(f"--option {item!r}: write name=value")
        options[name] = value
    import_into(settings_for(lake), source, path, options)
    console.print("Next: [bold]soundlake run[/]")


def import_into(settings: Settings, source: str, path: Path, options: Mapping[str, Any]) -> None:
    from lakehouse.sources import import_source
    from lakehouse.storage import storage_for

    raw = storage_for(settings.lake, settings.s3)
    import_source(source, path, raw, options, lambda line: console.print(f"  {line}", markup=False))


def simulate(
    users: Annotated[int, typer.Option(min=1)] = 2000,
    tracks: Annotated[int, typer.Option(min=1)] = 5000,
    days: Annotated[int, typer.Option(min=1)] = 30,
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day of the world.")] = "2026-01-01",  # type: ignore[assignment]
    start_day: Annotated[int, typer.Option(min=0, help="Go on with a world: number of its first day to write.")] = 0,
    seed: Annotated[int, typer.Option()] = 7,
    lake: LakeOption = None,
) -> None:
    """Write a simulated listening world to the raw zone; the same numbers give the same bytes."""
    simulate_into(settings_for(lake), users, tracks, days, start.date(), start_day, seed)
    console.print("Next: [bold]soundlake run[/]")


def simulate_into(
    settings: Settings,
    users: int,
    tracks: int,
    days: int,
    start: date = date(2026, 1, 1),
    start_day: int = 0,
    seed: int = 7,
) -> None:
    from lakehouse.sources import RawWriter
    from lakehouse.storage import storage_for
    from simulation import simulate as simulate_world

    raw = storage_for(settings.lake, settings.s3)
    with RawWriter(raw, "simulation") as writer, console.status("simulating …") as status:
        summary = simulate_world(writer, users, tracks, days, start, seed, start_day, lambda line: status.update(line))
    console.print(
        f"  {users:,} listeners, {tracks:,} tracks, {summary.first_date} to {summary.last_date}: "
        f"{summary.events:,} events, {writer.summary.files_written} files written, "
        f"{writer.summary.files_skipped} already there"
    )
