"""The load generator: requests over HTTP from a process of its own, and what became of each.

python -m benchmarks.online_load http://127.0.0.1:8600 --rate 100 --seconds 20 [--users 2000] [--unknown]

Open loop: requests are due at the times of a Poisson process (seeded), whether or not those before were answered, and a
latency counts from the moment a request was due. So a server that falls behind shows it, which a client that waits for
each answer hides ("coordinated omission", Tene 2013). ``--rate 0`` is one client that does wait.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

import msgspec
import numpy as np

STAGES = ("features", "candidates", "rank", "slate", "reasons", "total")
PERCENTILES = (50, 95, 99, 100)
CONNECTIONS = 256
_FEW = 5  # listeners who ask again


@dataclass
class Load:
    """rate: requests a second, 0 for one client that waits for each answer. unknown: listeners nobody knows; again: few
    listeners, who ask the same again and again."""

    url: str
    rate: float
    seconds: float
    users: int = 2000
    unknown: bool = False
    again: bool = False
    k: int = 10
    seed: int = 0


@dataclass
class Outcome:
    """stages: name -> ms at ``PERCENTILES``; "client": from the moment a request was due to its whole answer; late: ms
    that the generator itself sent the latest request after it was due."""

    requests: int
    throughput: float
    errors: dict[str, int]
    degraded: dict[str, int]
    versions: dict[str, int]
    stages: dict[str, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)


class Connection:
    """HTTP/1.1 that is kept alive: just enough of it to cost the generator little."""

    def __init__(self, host: str, port: int):
        self._host, self._port = host, port
        self._reader = self._writer = None

    async def post(self, body: bytes) -> tuple[int, bytes]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        head = b"POST /v1/recommendations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        self._writer.write(head + b"%d\r\n\r\n" % len(body) + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return int(answer[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


class Generator:
    def __init__(self, load: Load):
        self.load, at = load, urlsplit(load.url)
        self._free = [Connection(at.hostname, at.port) for _ in range(CONNECTIONS)]
        self._rng = np.random.default_rng(load.seed)
        self.latencies: list[float] = []
        self.late: list[float] = []
        self.errors: Counter = Counter()
        self.bodies: list[bytes] = []

    def question(self) -> bytes:
        rng, load = self._rng, self.load
        if load.again:
            return json.dumps({"user_id": f"user-{rng.integers(_FEW)}", "k": load.k, "context": {"hour": 8}}).encode()
        name = f"nobody-{rng.integers(1 << 40)}" if load.unknown else f"user-{rng.integers(load.users)}"
        moment = {"hour": int(rng.integers(24)), "device": str(rng.choice(["phone", "speaker", "desktop"]))}
        return json.dumps({"user_id": name, "k": load.k, "context": moment}).encode()

    async def one(self, due: float, body: bytes) -> None:
        if not self._free:
            self.errors["no free connection"] += 1
            return
        connection = self._free.pop()
        self.late.append(time.perf_counter() - due)
        try:
            status, answer = await asyncio.wait_for(connection.post(body), 10)
        except Exception as error:  # whatever it is, it is one request that failed
            self.errors[type(error).__name__] += 1
            connection.close()
        else:
            self.latencies.append(time.perf_counter() - due)
            if status == 200:
                self.bodies.append(answer)
            else:
                self.errors[f"status {status}"] += 1
        self._free.append(connection)

    async def run(self) -> Outcome:
        start = time.perf_counter()
        if self.load.rate:
            await self._open_loop(start)
        else:
            while time.perf_counter() - start < self.load.seconds:
                await self.one(time.perf_counter(), self.question())
        took = time.perf_counter() - start
        for connection in self._free:
            connection.close()
        return self._outcome(took)

    async def _open_loop(self, start: float) -> None:
        gaps = self._rng.exponential(1 / self.load.rate, int(self.load.rate * self.load.seconds))
        questions = [self.question() for _ in gaps]  # made before, so that making them delays none
        tasks, due = [], time.perf_counter() + 0.05
        for gap, question in zip(gaps, questions, strict=True):
            due += gap
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(self.one(due, question)))
        await asyncio.gather(*tasks)

    def _outcome(self, took: float) -> Outcome:
        replies = [msgspec.json.decode(body) for body in self.bodies]
        stages = {"client": self.latencies}
        for stage in STAGES:
            stages[stage] = [reply["timings_ms"][stage] / 1000 for reply in replies]
        causes = Counter(reply["degraded"]["cause"] for reply in replies if reply["degraded"])
        versions = Counter(str(reply["version"]) for reply in replies)
        return Outcome(
            len(self.latencies) + sum(self.errors.values()), len(replies) / took, dict(self.errors), dict(causes),
            dict(versions), {name: _percentiles(values) for name, values in stages.items()}, _percentiles(self.late),
        )  # fmt: skip


def _percentiles(seconds: list[float]) -> list[float]:
    return [round(1000 * float(np.percentile(seconds, p)), 3) for p in PERCENTILES] if seconds else []


def run(load: Load) -> Outcome:
    """Put the load on in this process."""
    import uvloop

    async def go() -> Outcome:
        return await Generator(load).run()

    return uvloop.run(go())


def table(outcome: Outcome) -> str:
    lines = ["| ms | p50 | p95 | p99 | max |", "|---|---|---|---|---|"]
    lines += [
        f"| {stage} | " + " | ".join(f"{value:.2f}" for value in values) + " |"
        for stage, values in outcome.stages.items()
        if values
    ]
    return "\n".join(lines)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("url")
    flags.add_argument("--rate", type=float, default=100, help="requests a second; 0: one client that waits")
    flags.add_argument("--seconds", type=float, default=20)
    flags.add_argument("--users", type=int, default=2000, help="listeners user-0 … that are asked for")
    flags.add_argument("--unknown", action="store_true", help="ask for listeners nobody knows")
    flags.add_argument("--again", action="store_true", help="few listeners, who ask the same again and again")
    flags.add_argument("--k", type=int, default=10)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    options = vars(flags.parse_args())
    as_json = options.pop("json")
    outcome = run(Load(**options))
    if as_json:
        print(json.dumps(asdict(outcome)))
        return
    print(table(outcome))
    print(
        f"\n{outcome.requests:,} requests, {outcome.throughput:.1f} answered a second, errors {outcome.errors or 0}, "
        f"degraded {outcome.degraded or 0}, versions {outcome.versions}, sent late by (ms) {outcome.late}"
    )
    sys.exit(bool(outcome.errors))


if __name__ == "__main__":
    main()
