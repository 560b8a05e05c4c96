"""`soundlake simulate --live`: simulated listeners against a running recommendation API."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from lakehouse.settings import Settings
from orchestration.cli.common import console
from orchestration.cli.errors import CommandError

LISTS = 200


def run_live(
    settings: Settings,
    world: tuple[int, int, int, date, int],
    day: int,
    address: str | None,
    listeners: int | None,
    requests: int | None,
    minutes: float | None,
    rate: float,
) -> None:
    """world: users, tracks, days, start, seed; day: of the world, on which the first session begins."""
    from simulation.live_http import Api, Listeners, LiveError, LiveSummary, live
    from simulation.world import World

    users, tracks, days, start, seed = world
    _check_day(start, day)
    requests = LISTS if requests is None and minutes is None else requests
    token = settings.api_token.get_secret_value() if settings.api_token else None
    try:
        api = Api(address or f"http://127.0.0.1:{settings.api_port}", token)
        with console.status("drawing the world …"):
            people = Listeners(World.create(users, tracks, days, start, seed), api)
        with _bar() as bar:
            task = bar.add_task("", total=requests or minutes * 60)

            def progress(summary: LiveSummary) -> None:
                done = summary.lists if requests else summary.seconds
                bar.update(task, completed=done, description=_line(summary))

            summary = live(people, day, requests, minutes, rate, listeners, progress)
    except LiveError as error:
        raise CommandError(str(error)) from None
    console.print(
        f"{summary.sessions:,} sessions, {summary.lists:,} lists, {summary.plays:,} tracks played of {summary.room:,} "
        f"there was time for: {summary.kept / max(summary.room, 1):.1%} kept, "
        f"{100 * summary.likes / max(summary.room, 1):.2f} likes per 100; {summary.events:,} events taken by "
        f"{api.address} in {summary.seconds:.0f} s"
    )
    console.print("  lists by version: " + ", ".join(f"{name} {n:,}" for name, n in summary.versions.items()))
    if summary.degraded:
        console.print("  degraded: " + ", ".join(f"{name} {n:,}" for name, n in summary.degraded.items()))
    console.print("Next: [bold]soundlake run[/] (events to the lake, training, a new version)")


def _check_day(start: date, day: int) -> None:
    last, today = start + timedelta(day + 1), datetime.now(UTC).date()
    if last > today:
        raise CommandError(
            f"--start-day {day}: sessions of {start + timedelta(day)} end in the future, and no event may come from "
            f"there; days up to {(today - start).days - 1} are possible with --start {start}"
        )


def _bar():
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    return Progress(*columns, console=console)


def _line(summary) -> str:
    return f"{summary.sessions:,} sessions, {summary.lists:,} lists, {summary.kept / max(summary.room, 1):.1%} kept"
