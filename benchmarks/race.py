"""``python -m benchmarks.race --runs 10``: several writers append to one table; what each reported has to be there.

Two Spark drivers and delta-rs, each a process of its own, on an S3 server (versitygw) and on a local folder; for
contrast two Spark drivers with the log store that Delta takes by default.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OURS = {"spark-1": "spark", "spark-2": "spark", "delta-rs": "delta-rs"}
DEFAULT = {"spark-1": "default", "spark-2": "default"}


@dataclass(frozen=True)
class Outcome:
    """One run: commits tried, reported as done, and rows found; ``lost`` were reported and are not there."""

    tried: int
    reported: int
    rows: int
    lost: int
    doubled: int
    unreported: int
    seconds: float
    errors: tuple[str, ...] = ()


@dataclass
class Writer:
    """A process of ``race_writer``."""

    name: str
    process: subprocess.Popen

    def order(self, settings: dict[str, Any], uri: str, first: int, commits: int) -> None:
        line = json.dumps({"settings": settings, "uri": uri, "first": first, "commits": commits})
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> tuple[set[tuple[str, int]], list[str]]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"writer {self.name} ended with status {self.process.wait()}: see its log")
        found = json.loads(line)
        return {(self.name, number) for number in found["done"]}, found["errors"]


@contextmanager
def writers(kinds: dict[str, str], folder: Path) -> Iterator[list[Writer]]:
    """A process for each of ``kinds`` (name -> kind); their logs go to ``folder``."""
    with ExitStack() as stack:
        started = []
        for name, kind in kinds.items():
            log = stack.enter_context((folder / f"{name}-{kind}.log").open("ab"))
            command = [sys.executable, "-m", "benchmarks.race_writer", name, kind]
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
            stack.callback(_stop, process)
            started.append(Writer(name, process))
        yield started


def _stop(process: subprocess.Popen) -> None:
    process.stdin.close()  # the end of its input ends it, and with it its JVM
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(30)


def race(running: Sequence[Writer], settings: dict[str, Any], table: str, commits: int) -> Outcome:
    """Every writer appends one row in each of ``commits`` commits to a new table, all at once."""
    from lakehouse.delta_log import storage_options
    from lakehouse.settings import Settings

    here = Settings(**settings)
    uri = here.table_uri(table)
    # The first commit of each warms its JVM; the first of all makes the table, so that delta-rs and Spark agree on it.
    for writer in running:
        writer.order(settings, uri, 0, 1)
        writer.answer()
    started = time.monotonic()
    for writer in running:
        writer.order(settings, uri, 1, commits)
    answers = [writer.answer() for writer in running]
    seconds = time.monotonic() - started
    reported = set().union(*(done for done, _ in answers))
    rows = Counter(row for row in _rows(uri, storage_options(here)) if row[1] > 0)
    return Outcome(
        tried=commits * len(running),
        reported=len(reported),
        rows=rows.total(),
        lost=len(reported - set(rows)),
        doubled=sum(count - 1 for count in rows.values()),
        unreported=len(set(rows) - reported),
        seconds=seconds,
        errors=tuple(sorted({error for _, errors in answers for error in errors})),
    )


def _rows(uri: str, options: dict[str, str] | None) -> list[tuple[str, int]]:
    from deltalake import DeltaTable

    table = DeltaTable(uri.replace("s3a://", "s3://", 1), storage_options=options)
    found = table.to_pyarrow_table().to_pydict()
    return list(zip(found["writer"], found["number"], strict=True))


def settings_of(lake: str, state: Path, endpoint: str | None = None) -> dict[str, Any]:
    """Settings of a small driver."""
    options = {"lake": lake, "state": str(state), "spark_master": "local[1]", "spark_memory": "512m"}
    return {**options, "s3_endpoint": endpoint} if endpoint else options


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race", description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--commits", type=int, default=40, help="of each writer in a run")
    parser.add_argument("--default-runs", type=int, default=3, help="runs with Delta's default log store")
    arguments = parser.parse_args()
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = secrets.token_hex(8), secrets.token_hex(20)
    sys.path.append(str(ROOT / "tests"))
    from servers.s3 import s3_server

    with tempfile.TemporaryDirectory(prefix="soundlake-race-") as name, s3_server(Path(name)) as server:
        folder = Path(name)
        on_s3 = settings_of(f"s3://{server.bucket()}/lake", folder / "state", server.endpoint)
        on_disk = settings_of(str(folder / "lake"), folder / "state")
        print(
            "| store | log store | run | tried | reported | rows | lost | doubled | s |\n" + "|---" * 9 + "|",
            flush=True,
        )
        with writers(OURS, folder) as ours:
            _table(ours, on_s3, "S3", "soundlake", arguments.runs, arguments.commits)
            _table(ours, on_disk, "local disk", "soundlake", arguments.runs, arguments.commits)
        with writers(DEFAULT, folder) as default:
            _table(default, on_s3, "S3", "Delta's default", arguments.default_runs, arguments.commits)
            _table(default, on_disk, "local disk", "Delta's default", arguments.default_runs, arguments.commits)


def _table(running: Sequence[Writer], settings: dict, store: str, log_store: str, runs: int, commits: int) -> None:
    errors: set[str] = set()
    for run in range(1, runs + 1):
        o = race(running, settings, f"race.{'ours' if 'sound' in log_store else 'default'}{run}", commits)
        cells = (store, log_store, run, o.tried, o.reported, o.rows, o.lost, o.doubled, f"{o.seconds:.1f}")
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
        errors |= set(o.errors)
    for error in sorted(errors)[:5]:
        print(f"not reported as done, {store}, {log_store}: {error}", flush=True)


if __name__ == "__main__":
    main()
