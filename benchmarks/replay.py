"""One data set taken twice, by batch and through a Kafka broker into a second lake: are silver's rows the same?

    python -m benchmarks.replay --source sequences --path FOLDER [--events 50000] [--servers host:9092]
    python -m benchmarks.replay --source simulation --events 50000

Everything runs by the commands that a person would type: `soundlake import`, `run`, `produce` and `stream`. Without
`--servers` the broker of the tests is started (Java, and Maven for its jars). Tables are compared over all columns of
their contract, both ways and counting equal rows; exit status 1 means that they differ.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import write_part
from lakehouse.settings import Settings, get_settings
from lakehouse.stream.produce import Produced, event_files, lines_of
from lakehouse.tables import get_table

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

    Scannable = ds.Scanner | pa.Table

ROOT = Path(__file__).parents[1]
TABLES = ("silver.listens", "silver.feedback", "silver.ads")
_SHOWN = 3
_MEMORY = "1GB"
_PER_USER = 180  # events of a simulated listener in the days of ``_fill``


@dataclass(frozen=True)
class Compared:
    """Rows of a table on each side, and how many have no equal on the other; ``examples`` are some of these."""

    table: str
    batch: int
    stream: int
    batch_only: int
    stream_only: int
    examples: tuple[str, ...] = ()

    @property
    def differ(self) -> bool:
        return bool(self.batch_only or self.stream_only)


def compare(batch: Settings, stream: Settings, name: str) -> Compared:
    """Compare one table of two lakes by DuckDB, which spills to disk what does not fit its memory."""
    import duckdb

    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as connection:

        def ask(sql: str) -> list[tuple]:
            return connection.execute(sql).fetchall()  # a result that is not fetched holds the connection

        ask(f"SET memory_limit = '{_MEMORY}'")
        ask(f"SET temp_directory = '{spill}'")
        for side, settings, other in (("batch", batch, stream), ("stream", stream, batch)):
            connection.register(f"{side}_rows", _rows(settings, other, name))
            ask(f"CREATE TABLE {side} AS FROM {side}_rows")
        examples = []
        for side, other in (("batch", "stream"), ("stream", "batch")):
            ask(f"CREATE TABLE {side}_only AS FROM {side} EXCEPT ALL FROM {other}")
            found = connection.sql(f"FROM {side}_only ORDER BY 1 LIMIT {_SHOWN}").to_arrow_table().to_pylist()
            examples += [f"{name}, {side} only: {list(row.values())}" for row in found]
        sides = ("batch", "stream", "batch_only", "stream_only")
        counts = (ask(f"SELECT count(*) FROM {side}")[0][0] for side in sides)
        return Compared(name, *counts, tuple(examples))


def _rows(settings: Settings, other: Settings, name: str) -> Scannable:
    """The declared columns of a table; no rows where it is only in the ``other`` lake: rows make it."""
    from lakehouse import arrow

    table = get_table(name)
    try:
        return arrow.dataset(settings, table).scanner(columns=table.column_names)
    except arrow.TableMissing:
        return arrow.dataset(other, table).schema.empty_table().select(table.column_names)


def replay(world: Path, batch: Settings, stream: Settings, per_batch: int) -> tuple[dict[str, float], list[Compared]]:
    """Take the dumps of ``world`` into both lakes; -> (seconds of each step, tables compared)."""
    Path(batch.lake).mkdir(parents=True)
    (Path(batch.lake) / "raw").symlink_to(world / "raw")
    seconds = {}
    for step, settings, *command in (
        ("batch", batch, "run", "--select", "silver/listens"),
        ("produce", stream, "produce", str(world)),
        ("stream", stream, "stream", "--source", "kafka", "--once", "--max-per-batch", str(per_batch)),
    ):
        began = time.monotonic()
        soundlake(settings, *command)
        seconds[step] = time.monotonic() - began
    have = [name for name in TABLES if _exists(batch, name) or _exists(stream, name)]
    return seconds, [compare(batch, stream, name) for name in have]


def _exists(settings: Settings, name: str) -> bool:
    from lakehouse import delta_log

    return delta_log.state(settings, get_table(name)) is not None


def soundlake(settings: Settings, *arguments: str) -> None:
    """Run a command of soundlake on the lake of ``settings``; raises SystemExit with its status if it fails."""
    given = {
        "SOUNDLAKE_LAKE": settings.lake,
        "SOUNDLAKE_PSEUDONYM_KEY": settings.pseudonym_key.get_secret_value(),
        "SOUNDLAKE_KAFKA_SERVERS": settings.kafka_servers,
        "SOUNDLAKE_KAFKA_TOPIC_PREFIX": settings.kafka_topic_prefix,
    }
    command = [sys.executable, "-c", "from orchestration.cli import main; main()", *arguments]
    status = subprocess.run(command, cwd=ROOT, env={**os.environ, **given}).returncode
    if status:
        sys.exit(f"soundlake {' '.join(arguments)} ended with {status}")


def cut(world: Path, events: int) -> int:
    """Leave the first ``events`` lines of the event dumps in ``world``; -> how many there are now."""
    left = events
    for path in event_files(world):
        lines = list(lines_of([path], Produced())) if left else []
        if len(lines) > left or not lines:
            path.unlink()
        if left < len(lines):
            path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines[:left]), 1))
        left -= min(left, len(lines))
    return events - left


def stream_rate(settings: Settings) -> str:
    """How fast the micro-batches were, with and without the first, which warms the JVM."""
    log = settings.state_dir / "streams" / "kafka.jsonl"
    figures = map(json.loads, log.read_text().splitlines())
    batches = [(f["records"], f["batch_seconds"]) for f in figures if f["state"] == "running" and not f["message"]]

    def rate(some: list[tuple[int, float]]) -> str:
        return f"{sum(records for records, _ in some) / sum(seconds for _, seconds in some):,.0f} events/s"

    later = batches[1:] if len(batches) > 2 else []
    return f"{len(batches)} micro-batches: {rate(batches)}" + (f", {rate(later)} after the first" if later else "")


@contextmanager
def broker(servers: str | None, folder: Path) -> Iterator[str]:
    """The address to use: ``servers``, or that of a broker which runs while the block does."""
    if servers:
        yield servers
        return
    sys.path.append(str(ROOT / "tests"))
    from servers.kafka import Broker

    with Broker(folder) as own:
        yield own.address


def _fill(world: Path, source: str, path: Path | None, events: int | None) -> int:
    """Raw dumps in ``world``; -> lines of events."""
    if source == "simulation":
        from lakehouse.sources import RawWriter
        from simulation import simulate

        with RawWriter(str(world), source) as writer:
            simulate(writer, users=-(-(events or 50_000) // _PER_USER), tracks=2000, days=14)
    else:
        from lakehouse.sources import import_source

        import_source(source, path, world, progress=print)
    whole = sum(1 for _ in lines_of(event_files(world), Produced()))
    return cut(world, events) if events and events < whole else whole


def _text(lines: int, seconds: dict[str, float], rate: str, compared: list[Compared]) -> str:
    rows = "\n".join(
        f"| {c.table} | {c.batch:,} | {c.stream:,} | {c.batch_only:,} | {c.stream_only:,} |" for c in compared
    )
    return (
        f"- {lines:,} raw lines; `soundlake run --select silver/listens` {seconds['batch']:.0f} s, `soundlake produce` "
        f"{seconds['produce']:.0f} s, `soundlake stream --once` {seconds['stream']:.0f} s, start of Python and Spark "
        f"included\n- the stream, by its own figures: {rate}\n\n"
        f"| table | rows by batch | by stream | by batch alone | by stream alone |\n|---|---|---|---|---|\n{rows}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", default="sequences", help="a source of `soundlake import`, or simulation")
    parser.add_argument("--path", type=Path, help="where it lies")
    parser.add_argument("--events", type=int, help="the first of its lines only")
    parser.add_argument("--per-batch", type=int, default=50_000, help="records of a micro-batch at most")
    parser.add_argument("--servers", default=get_settings().kafka_servers)
    parser.add_argument("--write", action="store_true", help="put the result into docs/benchmarks.md")
    options = parser.parse_args()
    if options.source != "simulation" and options.path is None:
        parser.error("--path: where does the data lie?")
    with tempfile.TemporaryDirectory(prefix="soundlake-replay-") as name:
        folder = Path(name)
        with broker(options.servers, folder) as servers:
            common = {"pseudonym_key": "replay", "kafka_servers": servers}
            common["kafka_topic_prefix"] = f"replay-{uuid.uuid4().hex[:8]}"
            batch, stream = (Settings(lake=str(folder / side), **common) for side in ("batch", "stream"))
            lines = _fill(folder / "world", options.source, options.path, options.events)
            seconds, compared = replay(folder / "world", batch, stream, options.per_batch)
        text = _text(lines, seconds, stream_rate(stream), compared)
    if options.write:
        events = f" --events {options.events}" if options.events else ""
        path = f" --path {options.path.name}" if options.path else ""
        write_part("Stream beside batch", text, f"python -m benchmarks.replay --source {options.source}{path}{events}")
    else:
        print(text)
    for example in (example for c in compared for example in c.examples):
        print(example)
    if not compared or any(c.differ for c in compared):
        sys.exit("stream and batch differ" if compared else "neither batch nor stream gave a table of silver")


if __name__ == "__main__":
    main()
