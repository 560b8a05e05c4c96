"""Raw dumps to bronze and silver, beside what one would write by hand: plain Spark, and DuckDB.

    python -m benchmarks.ingest [--events 1000000 10000000] [--runs 3] [--files 20000] [--worlds FOLDER]

Ours reads gzipped JSON Lines, checks every field against the contract, writes bronze.events (with the raw line),
quarantine and ledger, then silver.listens and silver.feedback, one row an event id. The others read the same files with
a schema, drop duplicate event ids and write one Parquet table; they check nothing. All sides run in one process tree
with the same cores; the first turn warms the JVM and is not counted.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from benchmarks.report import Row, write_section

START = date(2026, 1, 1)
DAYS = 30
_PER_USER_AND_DAY = 13.4  # events of a simulated listener
Span = tuple[date, date]


class Bench:
    """One Spark session and a folder that both sides use; simulated worlds are made once and kept in ``worlds``."""

    def __init__(self, folder: Path, worlds: Path | None = None):
        from lakehouse.settings import Settings
        from lakehouse.spark import get_spark

        self.folder, self._worlds = folder, worlds or folder
        self._settings = Settings(lake=str(folder / "lake"), pseudonym_key="bench")
        self.spark = get_spark(self._settings)

    def world(self, events: int, days: int = DAYS) -> tuple[Path, int]:
        """A raw zone of about so many events; -> its folder and their number."""
        from lakehouse.sources import RawWriter
        from simulation import simulate

        users = round(events / days / _PER_USER_AND_DAY)
        path = self._worlds / f"world-{events}"
        complete = path / "events"
        if not complete.exists():
            shutil.rmtree(path, ignore_errors=True)
            with RawWriter(str(path), "simulation") as writer:
                made = simulate(writer, users=users, tracks=20_000, days=days, start=START, seed=1)
            complete.write_text(str(made.events))
        return path, int(complete.read_text())

    @contextmanager
    def lake(self, world: Path) -> Iterator:
        """An empty lake over the raw zone of ``world``."""
        from lakehouse.lake import Lake
        from lakehouse.settings import Settings

        path = Path(tempfile.mkdtemp(dir=self.folder))
        (path / "raw").symlink_to(world / "raw")
        yield Lake(self.spark, Settings(lake=str(path), pseudonym_key="bench"))
        self.spark.catalog.clearCache()
        shutil.rmtree(path)

    def spark_by_hand(self, world: Path) -> float:
        schema = (
            "event_id string, event_type string, user_id string, session_id string, occurred_at timestamp, "
            "received_at timestamp, device struct<type: string, os: string, app_version: string>, "
            "context struct<country: string, region: string, utc_offset_min: int, activity: string, network: string, "
            "weather: string, temperature_c: double>, payload struct<track_id: string, ms_played: bigint, "
            "duration_ms: bigint, reason_start: string, reason_end: string, play_event_id: string, "
            "position_ms: bigint, playlist_id: string, query: string, results: bigint>"
        )
        out = self.folder / "by-hand"
        with timed() as seconds:
            frame = self.spark.read.schema(schema).json(str(world / "raw" / "events"))
            frame.dropDuplicates(["event_id"]).write.mode("overwrite").parquet(str(out))
        shutil.rmtree(out)
        return seconds()

    def duckdb(self, world: Path) -> float:
        import duckdb

        out = self.folder / "duckdb.parquet"
        with timed() as seconds, duckdb.connect() as connection:
            connection.execute(f"SET threads = {os.cpu_count()}; SET preserve_insertion_order = false")
            connection.execute(f"SET temp_directory = '{self.folder / 'duckdb-spill'}'")
            connection.execute(
                "COPY (SELECT DISTINCT ON (event_id) * FROM "
                f"read_json('{world}/raw/events/*/*/*.jsonl.gz', format = 'newline_delimited', "
                f"hive_partitioning = false)) TO '{out}' (FORMAT parquet)"
            )
        out.unlink()
        return seconds()


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    start = time.perf_counter()
    end: list[float] = []
    yield lambda: end[0]
    end.append(time.perf_counter() - start)


def load(lake, span: Span) -> float:
    """-> seconds of ingest, listens and feedback for the days of ``span``."""
    from lakehouse.ingest import ingest
    from lakehouse.refine.events import feedback, listens
    from lakehouse.tables.silver import FEEDBACK, LISTENS

    with timed() as seconds:
        ingest(lake, span)
        lake.write(LISTENS, listens(span))
        lake.write(FEEDBACK, feedback(span))
    return seconds()


class PeakMemory:
    """Largest resident memory of this process and all below it, MiB, looked at twice a second."""

    def __init__(self) -> None:
        self.mib = 0.0
        self._stop = threading.Event()

    def __enter__(self) -> PeakMemory:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        while not self._stop.wait(0.5):
            total = 0
            for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self.mib = max(self.mib, total / 2**20)


def whole(bench: Bench, events: int, runs: int) -> tuple[list[Row], float]:
    """Rows of a full load of about ``events``, and its median seconds."""
    world, number = bench.world(events)
    span = (START, START + timedelta(DAYS + 3))
    ours, spark, duck = [], [], []
    with PeakMemory() as memory:
        for turn in range(runs + 1):
            with bench.lake(world) as lake:
                seconds = load(lake, span)
            if turn:
                ours.append(seconds)
    for turn in range(runs + 1):
        seconds = bench.spark_by_hand(world), bench.duckdb(world)
        if turn:
            spark.append(seconds[0])
            duck.append(seconds[1])
    rate = [number / statistics.median(side) for side in (ours, spark, duck)]
    what = f"gz JSONL → bronze + silver, {number:,} events"
    return [
        Row(what, "events/s", rate[0], "Spark: read.json with schema → dropDuplicates → Parquet", rate[1]),
        Row(what, "events/s", rate[0], "DuckDB: read_json → one row an id → Parquet", rate[2]),
        Row(f"peak memory, {number:,} events", "MiB", memory.mib),
    ], statistics.median(ours)


def one_day(bench: Bench, events: int, runs: int) -> Row:
    """The last of 30 days onto 29, beside all 30."""
    world, _ = bench.world(events)
    last = START + timedelta(DAYS - 1)
    whole_seconds, day_seconds = [], []
    for turn in range(runs + 1):
        with bench.lake(world) as lake:
            seconds = load(lake, (START, last + timedelta(3)))
        with bench.lake(world) as lake:
            load(lake, (START, last - timedelta(1)))
            day = load(lake, (last, last))
        if turn:
            whole_seconds.append(seconds)
            day_seconds.append(day)
    a, b = statistics.median(day_seconds), statistics.median(whole_seconds)
    return Row(f"the last of {DAYS} days, {events:,} events in all", "s", a, "all days from nothing", b)


def small_files(bench: Bench, files: int, events: int, runs: int) -> Row:
    """The same lines in ``files`` files and in 20."""
    world, number = bench.world(events)
    dumps = sorted((world / "raw" / "events").rglob("*.gz"))
    lines = [line for path in dumps for line in gzip.decompress(path.read_bytes()).splitlines(keepends=True)]
    seconds: dict[int, list[float]] = {files: [], 20: []}
    for count in seconds:
        target = bench.folder / f"files-{count}"
        step = -(-len(lines) // count)
        folder = target / "raw" / "events" / f"date={START + timedelta(DAYS)}" / "hour=00"
        folder.mkdir(parents=True)
        for place in range(0, len(lines), step):
            (folder / f"{place:09}.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[place : place + step]), 1))
        for turn in range(runs + 1):
            with bench.lake(target) as lake:
                taken = load(lake, (START, START + timedelta(DAYS)))
            if turn:
                seconds[count].append(taken)
        shutil.rmtree(target)
    a, b = (statistics.median(side) for side in seconds.values())
    return Row(f"{number:,} events in {files:,} files", "s", a, "the same lines in 20 files", b)


def measure(events: list[int], runs: int, files: int, worlds: Path | None, only_whole: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="soundlake-bench-") as folder:
        bench = Bench(Path(folder), worlds)
        rows, taken = [], {}
        for size in sorted(events):
            more, taken[size] = whole(bench, size, runs)
            rows += more
        sizes = sorted(taken)
        if len(sizes) > 1:
            a, b = sizes[0], sizes[-1]
            rows.append(Row(f"{b / a:g} times the data", "s", taken[b], f"{a:,} events", taken[a]))
        if only_whole:
            return rows
        rows.append(one_day(bench, sizes[0], runs))
        rows.append(small_files(bench, files, min(sizes[0], 20 * files), runs))
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--runs", type=int, default=3, help="runs of each side; medians are printed")
    parser.add_argument("--files", type=int, default=20_000, help="number of small files")
    parser.add_argument("--worlds", type=Path, help="folder that keeps the simulated worlds for the next time")
    parser.add_argument("--whole", action="store_true", help="whole loads only, into a part of their own")
    arguments = parser.parse_args()
    rows = measure(arguments.events, arguments.runs, arguments.files, arguments.worlds, arguments.whole)
    sizes = " ".join(map(str, arguments.events)) + f" --runs {arguments.runs}" + (" --whole" if arguments.whole else "")
    title = "Ingest, whole loads" if arguments.whole else "Ingest"
    write_section(title, rows, f"python -m benchmarks.ingest --events {sizes}")


if __name__ == "__main__":
    main()
