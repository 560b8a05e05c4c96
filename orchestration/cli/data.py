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
    start_day: Annotated[
        int | None,
        typer.Option(
            min=0, help="Go on with a world: number of its first day to write (or, with --live, to live; then: --days)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option()] = 7,
    lake: LakeOption = None,
    live: Annotated[
        bool, typer.Option("--live", help="The listeners ask a recommendation API and hear what it shows.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="--live: of the API. Default: http://127.0.0.1:SOUNDLAKE_API_PORT.")
    ] = None,
    listeners: Annotated[
        int | None, typer.Option(min=1, help="--live: only the first so many listeners of the world.")
    ] = None,
    requests: Annotated[
        int | None, typer.Option(min=1, help="--live: stop after so many lists (default: 200).")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="--live: stop after so many minutes.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="--live: lists a second, at most; 0: no limit.")] = 0.0,
) -> None:
    """Write a simulated listening world to the raw zone; the same numbers give the same bytes.

    With --live nothing is written here: the world's listeners ask a running API (`soundlake serve`), hear, skip and
    like what it shows, and post what they did to it. Give the world of the lake: the same --users, --tracks, --start
    and --seed, and as --days how many the lake has.
    """
    settings = settings_for(lake)
    if live:
        from orchestration.cli.live import run_live

        world = (users, tracks, days, start.date(), seed)
        run_live(settings, world, days if start_day is None else start_day, address, listeners, requests, minutes, rate)
        return
    simulate_into(settings, users, tracks, days, start.date(), start_day or 0, seed)
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
