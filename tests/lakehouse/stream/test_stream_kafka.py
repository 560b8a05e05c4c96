"""Through a real broker: the same tables as batch, whatever happens on the way."""

from __future__ import annotations

import json
import shutil
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from lakehouse_rows import rows_of
from raw_zone import DAY, RawZone, raw_event

from lakehouse import arrow
from lakehouse.ingest import ingest, pending
from lakehouse.lake import Lake
from lakehouse.online.store import open_store
from lakehouse.refine.events import ads, feedback, listens
from lakehouse.settings import Settings
from lakehouse.storage import storage_for
from lakehouse.stream.clock import ClockLog
from lakehouse.stream.produce import produce
from lakehouse.stream.query import StreamOptions, checkpoint_of, run_stream
from lakehouse.stream.topics import Topics
from lakehouse.stream.totals_rows import RECENT, SESSION
from lakehouse.tables.bronze import EVENTS, QUARANTINE
from lakehouse.tables.silver import ADS, FEEDBACK, LISTENS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SILVER = ("silver.listens", "silver.feedback", "silver.ads")
CHOICE = {"propensity": 0.5, "policy": "even", "policy_version": "1"}
BAD = [b"{not json", b"\xff\xfe", b'{"event_type": "play"}']


def world(lake: Path) -> Path:
    """Two days of raw dumps: plays, skips before and after their play, corrections, duplicates, ads, bad lines."""
    raw = RawZone(lake)
    lines = []
    for n in range(60):
        at, user = f"{8 + n // 10:02}:{n % 60:02}:00", f"u{n % 5}"
        lines.append(raw_event(event_id=f"p{n}", at=at, user_id=user, payload={"track_id": f"t{n % 7}"}))
        if n % 4 == 0:
            skip = {"track_id": f"t{n % 7}", "play_event_id": f"p{n}", "position_ms": 900 + n}
            lines.insert(
                0 if n % 8 else len(lines), raw_event("skip", event_id=f"s{n}", at=at, user_id=user, payload=skip)
            )
        if n % 6 == 0:
            lines.append(raw_event("like", event_id=f"l{n}", at=at, user_id=user))
        if n % 10 == 0:
            lines.append(
                raw_event("ad_impression", event_id=f"a{n}", at=at, user_id=user, payload={"ad_id": "x", **CHOICE})
            )
    lines = [*lines[6:], *lines[:6]]  # some skips before their play, some long after it
    corrected = raw_event(event_id="p3", at="08:03:00", user_id="u3", received_at=f"{DAY}T20:00:00Z")
    corrected["payload"] = {"track_id": "t3", "ms_played": 1234}
    raw.events([*lines, *BAD], "a")
    skip = {"track_id": "t1", "play_event_id": "p1", "position_ms": 5}
    second = [corrected, *lines[:20], raw_event("skip", event_id="s-late", at="23:00:00", user_id="u1", payload=skip)]
    raw.events(second, "b", DAY + timedelta(1))
    return lake


def batch_of(spark, settings: Settings, path: Path) -> Settings:
    """A lake that took the same dumps by batch."""
    settings = settings.model_copy(update={"lake": str(path), "state": path / "state"})
    shutil.copytree(Path(settings.lake).parent / "world" / "raw", path / "raw")
    lake, days = Lake(spark, settings), (DAY, DAY + timedelta(1))
    ingest(lake, days)
    for table, fact in ((LISTENS, listens), (FEEDBACK, feedback), (ADS, ads)):
        lake.write(table, fact(days))
    return settings


def test_a_stream_gives_the_silver_of_batch(spark, stream_settings, tmp_path):
    settings, topics = stream_settings, Topics(stream_settings.kafka_topic_prefix)
    dump = world(tmp_path / "world")
    sent = produce(settings.kafka_servers, topics, dump)
    first = run_stream(settings, StreamOptions(once=True, max_per_batch=70))
    assert first.total_records == sent.lines and first.total_bad == len(BAD)
    assert first.batch >= 1  # several micro-batches
    batch = batch_of(spark, settings, tmp_path / "batch")
    for name in SILVER:
        assert rows_of(settings, name) == rows_of(batch, name), name
    _check_dead_letters(settings, topics)
    _check_totals(settings)

    # sent again, one day alone, and the checkpoint lost: nothing is doubled, nothing left out
    produce(settings.kafka_servers, topics, dump / "raw" / "events" / f"date={DAY}")
    before = {name: rows_of(settings, name) for name in SILVER}
    shutil.rmtree(Path(settings.lake) / checkpoint_of("kafka"))
    run_stream(settings, StreamOptions(once=True))
    assert {name: rows_of(settings, name) for name in SILVER} == before
    keys = rows_of(settings, "bronze.events", without=tuple(set(EVENTS.column_names) - {"source_file", "line"}))
    assert len(keys) == len(set(keys)) == arrow.read(settings, EVENTS, ["line"]).num_rows


def _check_dead_letters(settings: Settings, topics: Topics) -> None:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_servers, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topics.dead_letter])
    letters = {}
    deadline = time.monotonic() + 60
    while len(letters) < len(BAD) and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            letters[message.value()] = {name: value.decode() for name, value in message.headers()}
    consumer.close()
    assert sorted(letters) == sorted(BAD)
    quarantined = arrow.read(settings, QUARANTINE).to_pylist()
    places = {(f"kafka/{h['source.topic']}/{h['source.partition']}", int(h["source.offset"])) for h in letters.values()}
    assert {(row["source_file"], row["line"]) for row in quarantined} == places
    assert {row["reason"] for row in quarantined} == {h["reason"] for h in letters.values()}


def _check_totals(settings: Settings) -> None:
    listens = arrow.read(settings, LISTENS, ["user_key", "event_id", "occurred_at"]).to_pylist()
    now = max(row["occurred_at"] for row in listens)
    with open_store(settings) as store:
        for key in {row["user_key"] for row in listens}:
            newest = sorted(((r["occurred_at"], r["event_id"]) for r in listens if r["user_key"] == key), reverse=True)
            assert store.get(RECENT, key, now).values["event_ids"] == [event_id for _, event_id in newest[:50]]
        # the last event is a skip at 23:00: every session has ended by then
        assert not any(store.get(SESSION, row["user_key"], now).values["in_progress"] for row in listens)


def test_a_batch_that_runs_again_changes_nothing(spark, stream_settings, broker):
    from lakehouse.stream.batch import RecordBatches
    from lakehouse.stream.dead_letters import DeadLetters
    from lakehouse.stream.topics import ensure_topics

    settings, topics = stream_settings, Topics(stream_settings.kafka_topic_prefix)
    ensure_topics(broker.address, topics)
    lines = [raw_event(event_id="p1"), raw_event("skip", event_id="s1", payload={**_skip("p1")}), raw_event("like")]
    values = [*(json.dumps(line).encode() for line in lines), b"broken"]
    records = spark.createDataFrame(
        [("t", 0, n, value, "2026-01-05 12:00:00") for n, value in enumerate(values)],
        "topic string, partition int, offset bigint, value binary, timestamp string",
    ).selectExpr("topic", "partition", "offset", "value", "cast(timestamp as timestamp) timestamp")
    clocks = ClockLog(storage_for(settings.lake), "_checkpoints/test")
    seen = []
    letters = DeadLetters(broker.address, topics.dead_letter)
    run = RecordBatches(settings, "test/1", clocks, letters, None, seen.append)
    run(records, 0)
    names = ("bronze.events", "bronze.quarantine", "silver.listens", "silver.feedback")
    once = {name: rows_of(settings, name) for name in names}
    assert [len(rows) for rows in once.values()] == [3, 1, 1, 1]
    again = RecordBatches(settings, "test/1", clocks, letters, None, seen.append)  # as after a kill
    again(records, 0)
    assert {name: rows_of(settings, name) for name in names} == once
    assert seen[0].clock == seen[1].clock and (seen[1].good, seen[1].bad) == (3, 1)


def _skip(play: str) -> dict:
    return {"track_id": "t1", "play_event_id": play, "position_ms": 5}


@pytest.mark.chaos
def test_the_broker_dies_and_comes_back(spark, stream_settings, broker, tmp_path):
    settings, topics = stream_settings, Topics(stream_settings.kafka_topic_prefix)
    raw = RawZone(tmp_path / "world")
    for part in range(2):
        raw.events([raw_event(event_id=f"{part}-{n}") for n in range(50)], f"{part}")
    files = sorted((tmp_path / "world").rglob("*.jsonl.gz"))
    produce(broker.address, topics, files[0])
    stop, told = threading.Event(), []
    options = StreamOptions(trigger_seconds=0.2, online=False)
    stream = threading.Thread(target=lambda: told.append(run_stream(settings, options, stop=stop)))
    stream.start()
    try:
        _wait_for(lambda: len(_listens(settings)) == 50)
        broker.stop(kill=True)
        broker.start()
        produce(broker.address, topics, files[1])
        _wait_for(lambda: len(_listens(settings)) == 100)
    finally:
        stop.set()
        stream.join(120)
    assert not stream.is_alive() and told[0].state == "stopped"
    assert sorted(_listens(settings)) == sorted(f"{part}-{n}" for part in range(2) for n in range(50))
    assert arrow.read(settings, EVENTS, ["line"]).num_rows == 100


def _listens(settings: Settings) -> list[str]:
    try:
        return arrow.read(settings, LISTENS, ["event_id"])["event_id"].to_pylist()
    except arrow.TableMissing:
        return []


def _wait_for(condition, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_landed_files_are_read_once_by_stream_and_batch(spark, settings, tmp_path):
    dump = world(tmp_path / "world")
    (tmp_path / "world").joinpath("raw").rename(Path(settings.lake).parent / "raw-kept")
    kept = Path(settings.lake).parent / "raw-kept"
    (dump / "raw").symlink_to(kept)
    first_day = Path("events") / f"date={DAY}"
    shutil.copytree(kept / first_day, Path(settings.lake) / "raw" / first_day)
    done = run_stream(settings, StreamOptions(source="files", once=True, online=False))
    assert done.total_bad == len(BAD) and not pending(settings)
    second_day = Path("events") / f"date={DAY + timedelta(1)}"
    shutil.copytree(kept / second_day, Path(settings.lake) / "raw" / second_day)
    ingest(Lake(spark, settings), (DAY, DAY + timedelta(1)))  # batch was quicker; silver is the stream's
    run_stream(settings, StreamOptions(source="files", once=True, online=False))
    batch = batch_of(spark, settings, tmp_path / "batch")
    for name in ("bronze.events", *SILVER):
        assert rows_of(settings, name) == rows_of(batch, name), name
