"""kill -9 of a stream at drawn moments, again and again: its tables are those of a stream that was left alone.

STREAM_TEST_KILLS sets the number of kills (default 1), STREAM_TEST_SEED the draw.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lakehouse_rows import rows_of
from raw_zone import RawZone, raw_event

from lakehouse.stream.produce import produce
from lakehouse.stream.topics import Topics

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(3600)]

WORKER = Path(__file__).with_name("stream_worker.py")
STAGES = ("parse", "bronze", "quarantine", "dead letters", "totals", "silver", "clock")
TABLES = ("bronze.events", "bronze.quarantine", "silver.listens", "silver.feedback")


def moments(count: int, seed: int) -> list[tuple[str, str]]:
    """Distinct moments: before, after and inside of stages."""
    draw = random.Random(seed)
    inside = [(stage, f"{draw.uniform(0.05, 1.5):.2f}") for stage in ("parse", "bronze", "silver")]
    edges = [(stage, when) for stage in STAGES for when in ("before", "after")]
    return draw.choices(edges + inside, k=count)


def run(settings, stage: str = "never", when: str = "never") -> int:
    command = [sys.executable, str(WORKER), settings.lake, settings.kafka_servers, settings.kafka_topic_prefix]
    done = subprocess.run([*command, stage, when], start_new_session=True, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), (stage, when, done.stderr[-2000:])
    return done.returncode


@pytest.mark.long
@pytest.mark.chaos
def test_kills_leave_no_trace(stream_settings, tmp_path):
    settings = stream_settings
    raw = RawZone(tmp_path / "world")
    plays = [raw_event(event_id=f"p{n}", at=f"{n % 20:02}:00:00", user_id=f"u{n % 9}") for n in range(120)]
    skips = [
        raw_event("skip", event_id=f"s{n}", at="21:00:00", payload={"track_id": "t1", "play_event_id": f"p{n}"})
        for n in range(0, 120, 3)
    ]
    likes = [raw_event("like", event_id=f"l{n}", at="12:00:00") for n in range(20)]
    raw.events([*plays, b"{broken", *skips, *likes, b"\xff"])
    produce(settings.kafka_servers, Topics(settings.kafka_topic_prefix), tmp_path / "world")

    count, seed = int(os.environ.get("STREAM_TEST_KILLS", "1")), int(os.environ.get("STREAM_TEST_SEED", "7"))
    drawn = moments(count, seed)
    died = [run(settings, stage, when) for stage, when in drawn]
    assert -signal.SIGKILL in died
    assert run(settings) == 0

    calm = settings.model_copy(update={"lake": str(tmp_path / "calm"), "state": tmp_path / "calm" / "state"})
    assert run(calm) == 0
    for name in TABLES:
        assert rows_of(settings, name) == rows_of(calm, name), (name, drawn)
    assert len(rows_of(settings, "bronze.events")) == len(plays) + len(skips) + len(likes)
