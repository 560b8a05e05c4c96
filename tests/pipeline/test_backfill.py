"""Ninety days at once and in three ranges beside each other: the same tables."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from raw_zone import DAY, RawZone, raw_event
from whole_lake import content, prepare_lake

from orchestration.home import instance

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(1200)]

DAYS = 90
TABLES = (
    "bronze.events",
    "bronze.catalogue",
    "bronze.quarantine",
    "bronze.files",
    "silver.listens",
    "silver.feedback",
)


def ninety_days(raw: RawZone) -> None:
    """Every day plays, a like, a bad line; a skip that lands a day after its play, also across two ranges."""
    for number in range(DAYS):
        day = DAY + timedelta(number)
        lines: list = [
            raw_event(event_id=f"e{number}-{n}", at=f"{n:02}:00:00", day=day, user_id=f"u{n % 5}") for n in range(10)
        ]
        lines += [raw_event("like", event_id=f"l{number}", day=day), b"bad"]
        if number:
            payload = {"track_id": "t1", "play_event_id": f"e{number - 1}-3", "position_ms": 1000}
            lines.append(raw_event("skip", event_id=f"s{number}", day=day, payload=payload))
        raw.events(lines, day=day)
    raw.entities("tracks", [{"track_id": "t1", "title": "One"}])


def backfill(lake: str, first: date, last: date) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name("backfill_worker.py"), lake, str(first), str(last)],
        env={**os.environ, "SOUNDLAKE_SPARK_MASTER": "local[2]", "SOUNDLAKE_SPARK_MEMORY": "1g"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.long
def test_in_one_run_and_in_ranges_beside_each_other(run_ingest, tmp_path):
    settings, raw = prepare_lake(tmp_path / "ranges")
    ninety_days(raw)
    with instance(settings):  # made before the workers meet in it
        pass
    step = DAYS // 3
    starts = [DAY + timedelta(number * step) for number in range(3)]
    workers = [backfill(settings.lake, first, first + timedelta(step - 1)) for first in starts]
    for worker in workers:
        output, _ = worker.communicate(timeout=900)
        assert worker.returncode == 0, output[-3000:]
    found = content(settings, *TABLES)

    settings, raw = prepare_lake(tmp_path / "one")
    ninety_days(raw)
    (report,) = run_ingest(settings)
    assert report.success
    expected = content(settings, *TABLES)
    assert {name: len(rows) for name, rows in found.items()} == {name: len(rows) for name, rows in expected.items()}
    assert found == expected
    assert sum('"skipped": true' in row for row in found["silver.listens"]) == DAYS - 1
