"""A broker that is away for longer than Kafka's and Spark's clients wait by themselves (a minute)."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest
from raw_zone import RawZone, raw_event
from stream_command import stream_command

from lakehouse import arrow
from lakehouse.settings import Settings
from lakehouse.stream.outage import Outage
from lakehouse.stream.produce import produce
from lakehouse.stream.progress import read_progress
from lakehouse.stream.query import StreamOptions, run_stream
from lakehouse.stream.stats import BatchStats
from lakehouse.stream.topics import Topics
from lakehouse.tables.bronze import EVENTS, QUARANTINE
from lakehouse.tables.silver import LISTENS

AWAY_SECONDS = 90
BAD = b"{broken"


def test_waits_grow_to_the_end_of_patience():
    now = [0.0]
    outage = Outage(100, clock=lambda: now[0])
    waits = []
    while (wait := outage.next_wait()) is not None:
        waits.append(wait)
        now[0] += wait
    assert waits[:6] == [1, 2, 4, 8, 16, 30] and sum(waits) == pytest.approx(100)


def test_the_next_outage_is_another_one():
    now = [0.0]
    outage = Outage(100, clock=lambda: now[0])
    assert outage.next_wait() == 1
    outage.over()
    now[0] = 5000
    assert outage.next_wait() == 1


def plays(folder, part: str, count: int):
    """A dump of that many plays."""
    raw = RawZone(folder / part)
    raw.events([raw_event(event_id=f"{part}-{n}", user_id=f"u{n % 7}") for n in range(count)], part)
    return folder / part


def listens(settings: Settings) -> list[str]:
    try:
        return sorted(arrow.read(settings, LISTENS, ["event_id"])["event_id"].to_pylist())
    except arrow.TableMissing:
        return []


def ids(**parts: int) -> list[str]:
    return sorted(f"{part}-{n}" for part, count in parts.items() for n in range(count))


def wait_for(condition, what, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.2)


def send(settings: Settings, dump) -> None:
    produce(settings.kafka_servers, Topics(settings.kafka_topic_prefix), dump)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_the_command_sits_out_a_long_outage(stream_settings, broker, tmp_path, how):
    settings, log = stream_settings, tmp_path / "log"
    send(settings, plays(tmp_path, "first", 400))
    with stream_command(settings, "--max-per-batch", "40", "--trigger", "0", log=log) as command:
        wait_for(lambda: len(listens(settings)) >= 40, lambda: command.said)
        broker.stop(kill=True) if how == "killed" else broker.freeze()
        try:
            time.sleep(AWAY_SECONDS)
            assert command.process.poll() is None, command.said
        finally:
            broker.start() if how == "killed" else broker.thaw()
        send(settings, plays(tmp_path, "second", 50))
        wait_for(lambda: len(listens(settings)) >= 450, lambda: command.said)
        assert command.interrupt() == 0, command.said
    assert listens(settings) == ids(first=400, second=50)
    assert arrow.read(settings, EVENTS, ["line"]).num_rows == 450
    assert "waiting · no Kafka broker answers" in log.read_text()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_patience_ends_with_a_message_and_the_stream_goes_on_later(stream_settings, broker, tmp_path):
    settings, log = stream_settings, tmp_path / "log"
    send(settings, plays(tmp_path, "first", 400))
    broker_is_up = True
    try:
        with stream_command(settings, "--max-per-batch", "40", "--patience", "0.2", log=log) as command:
            wait_for(lambda: len(listens(settings)) >= 40, lambda: command.said)
            broker.stop(kill=True)
            broker_is_up = False
            assert command.process.wait(300) == 2, command.said
        assert "soundlake: no Kafka broker answers" in command.said and "Nothing is lost" in command.said
        assert "Traceback" not in command.said
        assert [p.state for p in read_progress(settings)] == ["failed"]
    finally:
        if not broker_is_up:
            broker.start()
    with stream_command(settings, "--once", log=log) as command:
        assert command.process.wait(300) == 0, command.said
    assert listens(settings) == ids(first=400)
    assert arrow.read(settings, EVENTS, ["line"]).num_rows == 400


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stage", ["parse", "dead letters"])
def test_a_batch_that_was_cut_off_is_done_again(spark, stream_settings, broker, tmp_path, monkeypatch, stage):
    """The broker is lost when Spark knows of records and has not fetched them, and when bad ones have to go back."""
    settings, timed, back = stream_settings, BatchStats.timed, []
    dump = plays(tmp_path, "first", 50)
    RawZone(dump).events([BAD], "bad")
    send(settings, dump)

    @contextmanager
    def cutting(stats, name):
        if name == stage and not back:
            broker.stop(kill=True)
            back.append(threading.Timer(AWAY_SECONDS, broker.start))
            back[0].start()
        with timed(stats, name):
            yield

    monkeypatch.setattr(BatchStats, "timed", cutting)
    seen = []
    try:
        done = run_stream(settings, StreamOptions(once=True, online=False), seen.append)
    finally:
        for timer in back:
            timer.join()
    assert done.state == "stopped" and "waiting" in {p.state for p in seen}
    assert listens(settings) == ids(first=50)
    assert arrow.read(settings, EVENTS, ["line"]).num_rows == 50
    assert arrow.read(settings, QUARANTINE, ["line"]).num_rows == 1
