"""A stream measured end to end on this machine: events a second it keeps up with, and how old an event is when silver
and the online store have it.

    python -m benchmarks.stream --servers host:9092 [--events 60000] [--rate 200] [--seconds 40]

Needs a broker (`--servers`, or SOUNDLAKE_KAFKA_SERVERS). First the topics are filled and drained as fast as possible
(sustained rate; the first micro-batch warms the JVM and is left out), then single plays are sent at a slow, steady
rate and looked for: in the online store by polling the listener's row, in silver by the end of the micro-batch.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from benchmarks.report import write_part
from lakehouse.parse import pseudonymiser
from lakehouse.settings import Settings, get_settings
from lakehouse.stream.produce import Sender, address, produce
from lakehouse.stream.progress import Progress
from lakehouse.stream.query import StreamOptions, run_stream
from lakehouse.stream.topics import Topics

KEY = "bench"


@dataclass
class Latency:
    """Seconds from the producer's call to the row, per event."""

    online: list[float] = field(default_factory=list)
    silver: list[float] = field(default_factory=list)
    batches: list[Progress] = field(default_factory=list)


def measure_rate(settings: Settings, world: Path, events: int, per_batch: int) -> tuple[float, list[Progress]]:
    """-> (records a second over all batches but the first, their progress)."""
    topics = Topics(settings.kafka_topic_prefix)
    produce(settings.kafka_servers, topics, world, limit=events)
    seen: list[Progress] = []
    run_stream(settings, StreamOptions(once=True, max_per_batch=per_batch), seen.append)
    batches = [p for p in seen if p.state == "running" and not p.message][1:]
    seconds = sum(p.batch_seconds for p in batches)
    return (sum(p.records for p in batches) / seconds if seconds else 0.0), batches


def measure_latency(settings: Settings, rate: float, seconds: float) -> Latency:
    """Send single plays at ``rate`` for ``seconds`` while the stream runs."""
    from lakehouse.online.store import open_store
    from lakehouse.stream.totals_rows import RECENT

    latency, sent, done = Latency(), {}, threading.Event()
    stop, warm = threading.Event(), threading.Event()
    unseen: dict[str, float] = {}

    def on_progress(progress: Progress) -> None:
        if progress.records:
            warm.set()
        now = time.time()
        latency.batches.append(progress)
        for event_id in _in_silver(settings, [i for i in sent if i not in finished]):
            finished.add(event_id)
            latency.silver.append(now - sent[event_id])

    finished: set[str] = set()
    options = StreamOptions(trigger_seconds=0.5)
    stream = threading.Thread(target=run_stream, args=(settings, options, on_progress, stop))
    stream.start()
    pseudonym = pseudonymiser(KEY.encode())

    def watch() -> None:
        with open_store(settings, read_only=True) as store:
            while not (done.is_set() and not unseen):
                for event_id in list(unseen):
                    row = store.get(RECENT, pseudonym(f"user-{event_id}"))
                    if row.found:
                        latency.online.append(time.time() - unseen.pop(event_id))
                time.sleep(0.005)

    sender = Sender(settings.kafka_servers, Topics(settings.kafka_topic_prefix))
    sender.send(address(_play("warm")))
    sender.poll(0.1)
    warm.wait(180)
    watcher = threading.Thread(target=watch)
    watcher.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        event_id = uuid.uuid4().hex
        unseen[event_id] = sent[event_id] = time.time()
        sender.send(address(_play(event_id)))
        sender.poll(1 / rate)
    sender.close()
    done.set()
    watcher.join(60)
    deadline = time.monotonic() + 60
    while len(finished) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.2)
    stop.set()
    stream.join(60)
    return latency


def _play(event_id: str) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {"event_id": event_id, "event_type": "play", "schema_version": 1, "user_id": f"user-{event_id}"}
    return json.dumps({**head, "occurred_at": now, "received_at": now, "payload": {"track_id": "t1"}}).encode()


def _in_silver(settings: Settings, wanted: list[str]) -> list[str]:
    from lakehouse import arrow
    from lakehouse.tables.silver import LISTENS

    if not wanted:
        return []
    return arrow.read(settings, LISTENS, ["event_id"], arrow.text("event_id").isin(wanted))["event_id"].to_pylist()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--servers", default=get_settings().kafka_servers)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--per-batch", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=50.0, help="plays a second while latency is measured")
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    if not arguments.servers:
        parser.error("no broker: give --servers host:9092")
    with tempfile.TemporaryDirectory(prefix="soundlake-bench-") as folder:
        world = _world(Path(folder) / "world", arguments.events)
        settings = Settings(
            lake=f"{folder}/lake",
            pseudonym_key=KEY,
            kafka_servers=arguments.servers,
            kafka_topic_prefix=f"bench-{uuid.uuid4().hex[:8]}",
        )
        rate, batches = measure_rate(settings, world, arguments.events, arguments.per_batch)
        latency = measure_latency(settings, arguments.rate, arguments.seconds)
    lines = [
        f"- sustained: {rate:,.0f} events/s, micro-batches of {arguments.per_batch:,}: {_stages(batches)}",
        f"- {arguments.rate:g} plays a second: {_stages(latency.batches)}",
    ]
    for name, values in (("online store", latency.online), ("silver", latency.silver)):
        values.sort()
        if values:
            p50, p99 = values[len(values) // 2], values[int(len(values) * 0.99)]
            lines.append(f"- produce → {name}: p50 {p50:.2f} s, p99 {p99:.2f} s over {len(values):,} plays")
    command = f"python -m benchmarks.stream --events {arguments.events} --rate {arguments.rate:g}"
    write_part("Stream", "\n".join(lines), command)


def _stages(batches: list[Progress]) -> str:
    """Mean seconds of a micro-batch, whole and by stage."""
    worked = [p for p in batches if p.seconds]
    if not worked:
        return "no batch but the first"
    mean = {stage: sum(p.seconds.get(stage, 0) for p in worked) / len(worked) for stage in worked[-1].seconds}
    parts = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in mean.items())
    return f"{sum(p.batch_seconds for p in worked) / len(worked):.2f} s a batch ({parts}), {len(worked)} batches"


def _world(path: Path, events: int) -> Path:
    from lakehouse.sources import RawWriter
    from simulation import simulate

    with RawWriter(str(path), "simulation") as writer:
        simulate(writer, users=max(50, events // 120), tracks=2000, days=10, start=date(2026, 1, 1))
    return path


if __name__ == "__main__":
    main()
