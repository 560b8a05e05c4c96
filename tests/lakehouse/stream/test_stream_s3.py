"""Lake and checkpoint on a real S3 server, the command killed on the way: the rows of a calm stream on disk."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from pathlib import Path

import pytest
from lakehouse_rows import rows_of
from raw_zone import DAY, RawZone, raw_event
from servers.s3 import S3Server, s3  # noqa: F401
from stream_command import stream_command

from lakehouse.settings import Settings
from lakehouse.storage import LocalStorage, Storage, storage_for
from lakehouse.stream.produce import produce
from lakehouse.stream.query import checkpoint_of
from lakehouse.stream.topics import Topics

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1200)]

TABLES = ("bronze.events", "bronze.quarantine", "silver.listens", "silver.feedback")
KILLS, SEED = 3, 20260105
FEW = {"files": "1", "kafka": "25"}  # a micro-batch, so that there are a dozen to be killed in


def dumps(folder: Path) -> Path:
    """Ten files of two days: plays, skips that land later, likes, bad lines."""
    raw = RawZone(folder)
    for part in range(10):
        day = DAY + timedelta(part // 5)
        lines = [raw_event(event_id=f"p{part}-{n}", at=f"{part:02}:{n:02}:00", user_id=f"u{n % 5}") for n in range(24)]
        skip = {"track_id": "t1", "play_event_id": f"p{part - 1}-{part}", "position_ms": 900 + part}
        lines += [raw_event("skip", event_id=f"s{part}", day=day, payload=skip), raw_event("like", event_id=f"l{part}")]
        raw.events([*lines, b"{broken"], f"f{part}", day)
    return folder


def land(dump: Path, target: Storage, day: int) -> None:
    source = LocalStorage(dump)
    for entry in source.list(f"raw/events/date={DAY + timedelta(day)}"):
        with source.open_read(entry.path) as stream:
            target.write_atomic(entry.path, stream.read())


def offer(source: str, dump: Path, settings: Settings, day: int) -> None:
    """One day of the dumps, as the stream wants it."""
    if source == "files":
        land(dump, storage_for(settings.lake, settings.s3), day)
    else:
        topics = Topics(settings.kafka_topic_prefix)
        produce(settings.kafka_servers, topics, dump / "raw" / "events" / f"date={DAY + timedelta(day)}")


def batches(settings: Settings, source: str) -> int:
    """Micro-batches that Spark has noted as done, here and elsewhere."""
    storage = storage_for(settings.lake, settings.s3)
    return sum(1 for _ in storage.list(f"{checkpoint_of(source)}/spark/commits"))


def run_to_the_end(settings: Settings, source: str, log: Path) -> None:
    with stream_command(settings, "--source", source, "--once", log=log) as command:
        assert command.process.wait(300) == 0, command.said


def run_and_kill(settings: Settings, source: str, log: Path, delay: float) -> None:
    """Kill the stream ``delay`` seconds after a micro-batch of its own is done."""
    before = batches(settings, source)
    options = ("--source", source, "--max-per-batch", FEW[source], "--trigger", "0")
    with stream_command(settings, *options, log=log) as command:
        deadline = time.monotonic() + 180
        while batches(settings, source) <= before:
            assert command.process.poll() is None and time.monotonic() < deadline, command.said
            time.sleep(0.05)
        time.sleep(delay)
        assert command.process.poll() is None, command.said
        command.kill()


@pytest.mark.parametrize("source", ["files", "kafka"])
def test_kills_leave_no_trace_on_s3(s3: S3Server, stream_settings, tmp_path, source):  # noqa: F811
    kafka = {name: getattr(stream_settings, name) for name in ("kafka_servers", "kafka_topic_prefix")}
    settings, log, draw = s3.settings(tmp_path, **kafka), tmp_path / "log", random.Random(SEED)
    dump = dumps(tmp_path / "world")
    offer(source, dump, settings, 0)
    for kill in range(KILLS):
        run_and_kill(settings, source, log, draw.uniform(0, 2))
        if kill == 0:
            offer(source, dump, settings, 1)
    run_to_the_end(settings, source, log)

    calm = stream_settings.model_copy(update={"lake": str(tmp_path / "calm"), "state": tmp_path / "calm-state"})
    if source == "files":
        for day in (0, 1):
            offer(source, dump, calm, day)
    run_to_the_end(calm, source, log)
    clock = ("seen_at",) if source == "files" else ()
    for name in TABLES:
        without = clock if name == "bronze.quarantine" else ()
        assert rows_of(settings, name, without) == rows_of(calm, name, without), (name, log.read_text())
    assert len(rows_of(settings, "bronze.events")) == 10 * 26
    assert len(rows_of(settings, "silver.listens")) == 10 * 24
