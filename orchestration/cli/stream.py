"""`soundlake stream`, `streams`, `produce`: events from and to a broker."""

from __future__ import annotations

import signal
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid

from orchestration.cli.common import LakeOption, console, settings_for
from orchestration.cli.errors import CommandError

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from lakehouse.settings import Settings
    from lakehouse.stream.progress import Progress

_TELL_SECONDS = 30.0
_TABLES_SECONDS = 600.0


def register(app: typer.Typer) -> None:
    app.command()(stream)
    app.command()(streams)
    app.command()(produce)


def stream(
    source: Annotated[
        str, typer.Option(help="kafka: topics of SOUNDLAKE_KAFKA_SERVERS; files: the raw zone.")
    ] = "kafka",
    once: Annotated[bool, typer.Option("--once", help="End when everything that is there now is done.")] = False,
    max_per_batch: Annotated[
        int | None, typer.Option(min=1, help="Records (50,000) or files (200) of a micro-batch at most.")
    ] = None,
    trigger: Annotated[float, typer.Option(min=0.0, help="Seconds from one micro-batch to the next at least.")] = 1.0,
    late: Annotated[float, typer.Option(min=0.0, help="Minutes that open sessions wait for late events.")] = 10.0,
    patience: Annotated[float, typer.Option(min=0.0, help="Minutes that a broker may be away.")] = 15.0,
    online: Annotated[bool, typer.Option(help="Keep running totals in the online store.")] = True,
    lake: LakeOption = None,
) -> None:
    """Take events into bronze, silver and the online store as they come; Ctrl-C ends it between two micro-batches."""
    from lakehouse.spark import check_java
    from lakehouse.stream.query import StreamOptions, run_stream
    from orchestration.home import instance

    settings = settings_for(lake)
    check_java()
    options = StreamOptions(
        source=source,
        once=once,
        max_per_batch=max_per_batch,
        trigger_seconds=trigger,
        patience_seconds=60 * patience,
        delay=timedelta(minutes=late),
        online=online,
    )
    where = settings.kafka_servers if source == "kafka" else f"{settings.lake}/raw/events"
    console.print(f"[bold]soundlake stream[/] · {source} {where or ''} → lake {settings.lake}")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with instance(settings) as dagster:
        page = DagsterPage(settings, dagster)
        try:
            last = run_stream(settings, options, page, stop)
        finally:
            page.tables()
    console.print(
        f"{last.total_records:,} records taken: {last.total_bad:,} bad (`soundlake quarantine list`), "
        f"{last.total_late:,} late. Next: [bold]soundlake run[/] refreshes what is made from them"
    )


class DagsterPage:
    """Prints a line a micro-batch, and tells Dagster of it now and then."""

    def __init__(self, settings: Settings, instance: DagsterInstance):
        self._settings, self._instance = settings, instance
        self._told = float("-inf")
        self._tables_told = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        from assets.stream import observation

        console.print(progress.line(), markup=False)
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS or progress.state != "running":
            self._told = now
            self._instance.report_runless_asset_event(observation(progress))
        if now - self._tables_told >= _TABLES_SECONDS:
            self.tables()

    def tables(self) -> None:
        """What the stream has written so far, so that `soundlake run` and the sensors make the rest from it."""
        from assets.stream import materialisations

        self._tables_told = time.monotonic()
        for event in materialisations(self._settings):
            self._instance.report_runless_asset_event(event)


def streams(lake: LakeOption = None) -> None:
    """The latest figures of the streams of this lake."""
    from lakehouse.stream.lock import is_running
    from lakehouse.stream.progress import read_progress

    settings = settings_for(lake)
    grid = Grid(box=None, pad_edge=False)
    for title in ("stream", "state", "batch", "at (UTC)", "records/s", "behind", "seconds", "bad", "late", "watermark"):
        grid.add_column(title)
    found = read_progress(settings)
    for p in found:
        lives = is_running(settings, p.stream)
        state = p.state if lives or p.state in ("stopped", "failed") else "killed"
        numbers = (f"{p.rate:,.0f}", f"{p.behind_records:,}", f"{p.batch_seconds:.1f}", str(p.total_bad))
        grid.add_row(p.stream, state, str(p.batch), p.at[:19], *numbers, str(p.total_late), (p.watermark or "-")[:19])
    console.print(grid if found else "No stream has run on this lake from here. Start one: soundlake stream")


def produce(
    path: Annotated[Path, typer.Argument(help="A lake, a folder or a file of raw event dumps.")],
    servers: Annotated[str | None, typer.Option(help="Brokers; default SOUNDLAKE_KAFKA_SERVERS.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Events a second at most.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Lines to send at most.")] = None,
    lake: LakeOption = None,
) -> None:
    """Send raw dump lines to the topics of their event types, each delivery checked."""
    from lakehouse.stream.produce import produce as send
    from lakehouse.stream.topics import Topics

    settings = settings_for(lake)
    servers = servers or settings.kafka_servers
    if not servers:
        raise CommandError("no broker is set: give --servers host:9092, or set SOUNDLAKE_KAFKA_SERVERS")
    if not path.exists():
        raise CommandError(f"{path} does not exist: give a lake, a folder or a file of raw event dumps")
    done = send(
        servers, Topics(settings.kafka_topic_prefix), path, rate, limit, lambda text: console.print(f"  {text}")
    )
    console.print(f"{done.lines:,} lines, {done.bytes / 1e6:,.1f} MB in {done.seconds:.1f} s to {servers}")
    for topic, count in sorted(done.topics.items()):
        console.print(f"  {topic:<24} {count:>12,}")
    for broken in done.broken_files:
        console.print(f"[yellow]![/] {broken}: the lines before the break were sent", markup=True)
    console.print("Next: [bold]soundlake stream --source kafka[/]")
