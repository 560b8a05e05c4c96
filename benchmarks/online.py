"""One user's row, read from the online store and decoded to a float vector, beside Feast on the same values.

python -m benchmarks.online [--users 10000] [--rounds 3] [--feast-python PATH] [--out docs/…]

Every store is loaded first; then they are read in turn, round by round, one user at a time in one process each. The
figures are medians over the rounds of each round's percentiles. Feast lives in an environment of its own, for it wants
other versions of what we lock: ``--feast-python`` names its interpreter, else one is made in the cache folder, and
where that fails Feast is left out with a note.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.report import write_part
from lakehouse.online.rows import Field, RowSchema, microseconds
from lakehouse.online.store import OnlineStore, Source, open_store
from lakehouse.settings import Settings, get_settings

FEAST = "feast[redis]==0.67.*"
PING = "Redis, a bare PING"
WHOLE, FRACTIONS = 20, 30
SCHEMA = RowSchema(
    "taste",
    tuple(
        [Field(f"count_{i}", "int64") for i in range(WHOLE)] + [Field(f"rate_{i}", "float32") for i in range(FRACTIONS)]
    ),
)
Reader = Callable[[int, int], list[float]]
"""(reads, seed) -> microseconds of each read."""


@dataclass(frozen=True)
class Latency:
    """Microseconds, median of the rounds."""

    store: str
    p50: float
    p99: float


def measure(users: int, rounds: int, feast_python: str | None) -> tuple[list[Latency], list[str]]:
    """Latencies of every store that could be had, and notes on those that could not."""
    notes: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soundlake-online-")))
        keys, columns = make_values(users)
        table = write_table(folder / "users.parquet", keys, columns)
        redis = stack.enter_context(redis_server(folder)) if shutil.which("redis-server") else None
        readers: dict[str, tuple[Reader, int]] = {}
        addresses = {"soundlake, LMDB": str(folder / "lmdb")}
        if redis:
            addresses["soundlake, Redis"] = f"redis://{redis}/0"
        else:
            notes.append("Redis is left out: redis-server is not installed (Debian: apt-get install redis-server)")
        for name, address in addresses.items():
            store = stack.enter_context(open_store(Settings(online_store=address)))
            load(store, keys, columns)
            readers[name] = (own_reader(store, keys), 20_000 if store.kind == "lmdb" else 5_000)
        if redis:
            readers[PING] = (stack.enter_context(ping_reader(redis)), 5_000)
        python = feast_interpreter(feast_python, notes)
        sums = np.column_stack(list(columns.values())).astype(np.float32)[:100].sum(axis=1)
        for name, kind in (("Feast, SQLite", "sqlite"), ("Feast, Redis", "redis")):
            if python and (redis or kind == "sqlite"):
                own = folder / f"feast-{kind}"
                try:
                    readers[name] = (stack.enter_context(feast_reader(python, kind, table, own, redis, sums)), 500)
                except (RuntimeError, OSError) as error:
                    notes.append(f"{name} is left out: {error}")
        return take_turns(readers, rounds), notes


def make_values(users: int) -> tuple[list[str], dict[str, np.ndarray]]:
    chance = np.random.default_rng(7)
    columns: dict[str, np.ndarray] = {f"count_{i}": chance.integers(0, 5000, users) for i in range(WHOLE)}
    columns |= {f"rate_{i}": chance.random(users).astype(np.float32) for i in range(FRACTIONS)}
    return [f"user-{i:07}" for i in range(users)], columns


def write_table(path: Path, keys: list[str], columns: dict[str, np.ndarray]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    at = pa.array([datetime.now(UTC)] * len(keys), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"user": keys, "at": at, **columns}), path)
    return path


def load(store: OnlineStore, keys: list[str], columns: dict[str, np.ndarray]) -> None:
    now = microseconds(datetime.now(UTC))
    payloads = SCHEMA.codec.encode_columns(columns, len(keys), now)
    with store.begin(SCHEMA) as loading:
        loading.write(zip(keys, payloads, strict=True))
        loading.switch(Source(as_of_us=now))


def own_reader(store: OnlineStore, keys: list[str]) -> Reader:
    def read(number: int, seed: int) -> list[float]:
        times, get = [], store.get
        for key in random.Random(seed).choices(keys, k=number):
            start = time.perf_counter_ns()
            vector = get(SCHEMA, key).vector
            times.append((time.perf_counter_ns() - start) / 1000)
            assert len(vector) == WHOLE + FRACTIONS
        return times

    return read


@contextmanager
def ping_reader(address: str) -> Iterator[Reader]:
    """The round trip alone: what no client of this server can be faster than."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def read(number: int, seed: int) -> list[float]:
            times = []
            for _ in range(number):
                start = time.perf_counter_ns()
                connection.sendall(b"PING\r\n")
                assert connection.recv(64) == b"+PONG\r\n"
                times.append((time.perf_counter_ns() - start) / 1000)
            return times

        yield read


@contextmanager
def feast_reader(
    python: str, kind: str, table: Path, folder: Path, redis: str | None, sums: np.ndarray
) -> Iterator[Reader]:
    """A process that reads by Feast, loaded; its first vectors are compared with ours before anything is timed."""
    folder.mkdir()
    script = Path(__file__).with_name("online_feast.py")
    command = [python, str(script), kind, str(table), str(folder), *([f"{redis},db=1"] if redis else [])]
    log = (folder / "log").open("w+")
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def ask(line: str) -> str:
        print(line, file=worker.stdin, flush=True)
        return next_answer()

    def next_answer() -> str:
        for line in worker.stdout:
            if line.startswith(("ready", "[")):
                return line
        log.seek(0)
        raise RuntimeError(f"Feast with {kind} ended: {log.read()[-2000:]}")

    try:
        next_answer()
        np.testing.assert_allclose(json.loads(ask("check")), sums, rtol=1e-4)
        yield lambda number, seed: json.loads(ask(f"{number} {seed}"))
    finally:
        worker.kill()
        worker.wait()
        log.close()


def feast_interpreter(given: str | None, notes: list[str]) -> str | None:
    """The interpreter of an environment with Feast, made on first use."""
    if given:
        return given
    folder = get_settings().cache_dir / "feast-0.67"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return str(python)
    print(f"making an environment for Feast in {folder} …", file=sys.stderr)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, capture_output=True)
        subprocess.run([python, "-m", "pip", "install", "-q", FEAST], check=True, capture_output=True, text=True)
    except (subprocess.CalledProcessError, OSError) as error:
        notes.append(f"Feast is left out: {FEAST} could not be installed ({getattr(error, 'stderr', error)!s:.300})")
        return None
    (folder / "complete").touch()
    return str(python)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A server of its own, in memory; -> host:port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command)} does not answer")
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def take_turns(readers: dict[str, tuple[Reader, int]], rounds: int) -> list[Latency]:
    seen: dict[str, list[np.ndarray]] = {name: [] for name in readers}
    for turn in range(rounds + 1):
        for name, (read, number) in readers.items():
            times = read(number, turn)
            if turn:  # the first round warms up
                seen[name].append(np.percentile(times, (50, 99)))
    medians = {name: np.median(found, axis=0) for name, found in seen.items()}
    return [Latency(name, *map(float, both)) for name, both in medians.items()]


def report(found: list[Latency], notes: list[str]) -> str:
    """The table as Markdown, each store of ours beside Feast's of the same kind."""
    by_name = {one.store: one for one in found}
    beside = {"soundlake, LMDB": "Feast, SQLite", "soundlake, Redis": "Feast, Redis"}
    lines = [
        "| store | p50 | p99 | beside | p50 | p99 | faster at p50, p99 |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for name, other in beside.items():
        if name in by_name:
            mine, theirs = by_name[name], by_name.get(other)
            cells = [name, f"{mine.p50:,.1f} µs", f"{mine.p99:,.1f} µs", other]
            if theirs:
                cells += [f"{theirs.p50:,.0f} µs", f"{theirs.p99:,.0f} µs"]
                cells.append(f"{theirs.p50 / mine.p50:,.0f}×, {theirs.p99 / mine.p99:,.0f}×")
            else:
                cells += ["", "", ""]
            lines.append("| " + " | ".join(cells) + " |")
    if ping := by_name.get(PING):
        lines.append(
            f"\nA bare PING to the same Redis, the round trip alone: p50 {ping.p50:,.1f} µs, p99 {ping.p99:,.1f} µs."
        )
    return "\n".join([*lines, *(f"\n{note}" for note in notes)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online", description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--feast-python", help="interpreter of an environment that has Feast")
    arguments = parser.parse_args()
    found, notes = measure(arguments.users, arguments.rounds, arguments.feast_python)
    command = f"python -m benchmarks.online --users {arguments.users} --rounds {arguments.rounds}"
    write_part("Online reads of one user, decoded to a vector", report(found, notes), command)


if __name__ == "__main__":
    main()
