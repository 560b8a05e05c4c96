"""A run that is killed and started again leaves the tables of a run that was not disturbed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from kill_worker import MOMENTS
from raw_zone import DAY, RawZone, raw_event
from whole_lake import content, prepare_lake

from orchestration.plan import pending_spans

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(1800)]

NEXT = DAY + timedelta(1)
LONG = ("before_the_ledger", "between_the_ledger_and_silver", "between_files_and_commit_of_a_merge")
"""Moments that `make chaos` tries; a minute and a half each."""

TABLES = (
    "bronze.events",
    "bronze.catalogue",
    "bronze.quarantine",
    "bronze.files",
    "silver.listens",
    "silver.feedback",
)


def first_day(raw: RawZone) -> None:
    raw.events([raw_event(event_id=f"e{n}") for n in range(30)])
    raw.entities("tracks", [{"track_id": "t1"}])


def second_day(raw: RawZone) -> None:
    """A skip of a play of the first day, new plays in two files, a like, a bad line, a track."""
    late = {"track_id": "t1", "play_event_id": "e3", "position_ms": 1000}
    raw.events(
        [raw_event("skip", event_id="s", day=NEXT, payload=late), raw_event("like", event_id="l", day=NEXT)], day=NEXT
    )
    raw.events([raw_event(event_id=f"n{n}", day=NEXT) for n in range(40)] + [b"bad"], name="b", day=NEXT)
    raw.entities("tracks", [{"track_id": "t2"}], day=NEXT)


@pytest.fixture(scope="module")
def lakes(tmp_path_factory, spark):
    """A lake with the first day taken in, and the tables of one that took both days undisturbed."""
    from lakehouse.settings import get_settings
    from orchestration.cli.run import ingest_pending
    from orchestration.home import instance

    folder = tmp_path_factory.mktemp("kill")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDLAKE_PSEUDONYM_KEY", "test")
        patch.setenv("SOUNDLAKE_LAKE", "")  # put back at the end, whatever the runs set
        get_settings.cache_clear()
        settings, raw = prepare_lake(folder / "base")
        first_day(raw)
        with instance(settings) as dagster:
            assert all(r.success for r in ingest_pending(settings, dagster))
        shutil.copytree(folder / "base", folder / "undisturbed")
        settings, raw = prepare_lake(folder / "undisturbed")
        second_day(raw)
        with instance(settings) as dagster:
            assert all(r.success for r in ingest_pending(settings, dagster))
        tables = content(settings, *TABLES)
    get_settings.cache_clear()
    return folder / "base", tables


@pytest.mark.parametrize("moment", [pytest.param(m, marks=[pytest.mark.long] * (m in LONG)) for m in MOMENTS])
def test_a_killed_ingest_is_finished_by_the_next(lakes, run_ingest, tmp_path, moment):
    base, expected = lakes
    shutil.copytree(base, tmp_path / "lake")
    settings, raw = prepare_lake(tmp_path / "lake")
    second_day(raw)
    killed = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("kill_worker.py"), moment, settings.lake],
        start_new_session=True,
        env={**os.environ, "SOUNDLAKE_SPARK_MASTER": "local[2]", "SOUNDLAKE_SPARK_MEMORY": "1g"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output, _ = killed.communicate(timeout=400)
    assert killed.returncode == -signal.SIGKILL, output
    assert bool(pending_spans(settings)) == (moment in ("in_a_python_worker", "before_the_ledger"))

    reports = run_ingest(settings)
    assert reports and all(report.success for report in reports)
    assert content(settings, *TABLES) == expected
    assert run_ingest(settings) == []
