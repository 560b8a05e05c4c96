"""The stream as Dagster runs it: started when there is a broker and none runs, in a lane of its own."""

from __future__ import annotations

import socket
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.stream import STREAMS, observation
from jobs.stream import LANE, STREAM_LANE, stream
from lakehouse.settings import get_settings
from lakehouse.stream.lock import only_one
from lakehouse.stream.progress import Progress, now_text
from orchestration.home import instance
from orchestration.lanes import BATCH_LANE, LaneRunCoordinator
from orchestration.stream_sensor import keep_streaming


@pytest.fixture
def dagster(monkeypatch, tmp_path):
    monkeypatch.setenv("SOUNDLAKE_LAKE", str(tmp_path / "lake"))
    get_settings.cache_clear()
    with instance(get_settings()) as found:
        yield found


def ask(dagster) -> dg.RunRequest | dg.SkipReason:
    return keep_streaming(dg.build_sensor_context(instance=dagster))


def test_without_a_broker_nothing_starts(dagster):
    assert "SOUNDLAKE_KAFKA_SERVERS" in ask(dagster).skip_message


def test_a_stream_is_started_when_none_runs(dagster, monkeypatch):
    monkeypatch.setenv("SOUNDLAKE_KAFKA_SERVERS", "broker:9092")
    get_settings.cache_clear()
    assert isinstance(ask(dagster), dg.RunRequest)
    with only_one(get_settings(), "kafka"):
        assert "runs" in ask(dagster).skip_message
    starting = dagster.create_run_for_job(stream, status=dg.DagsterRunStatus.STARTING)
    assert starting.run_id in ask(dagster).skip_message


def test_a_run_whose_process_was_killed_does_not_hold_the_stream_up(dagster, monkeypatch):
    monkeypatch.setenv("SOUNDLAKE_KAFKA_SERVERS", "broker:9092")
    get_settings.cache_clear()
    tags = {"soundlake/pid": "999999999", "soundlake/host": socket.gethostname()}
    run = dagster.create_run_for_job(stream, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert isinstance(ask(dagster), dg.RunRequest)
    assert dagster.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE


def test_streams_and_other_runs_have_a_lane_each(dagster):
    assert isinstance(dagster.run_coordinator, LaneRunCoordinator)
    limits = dagster.get_concurrency_config().run_queue_config
    lanes = {limit["value"]: limit["limit"] for limit in limits.tag_concurrency_limits if limit["key"] == LANE}
    assert lanes == {BATCH_LANE: 1, STREAM_LANE: 1} and limits.max_concurrent_runs == 2
    assert stream.tags[LANE] == STREAM_LANE
    text = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())
    assert text["run_coordinator"] == {"module": "orchestration.lanes", "class": "LaneRunCoordinator"}


def test_figures_are_numbers_on_the_page(dagster):
    progress = Progress(
        "kafka", "running", now_text(), 1, batch=3, behind_records=7, rate=12.5, seconds={"silver": 1.5}
    )
    dagster.report_runless_asset_event(observation(progress))
    [record] = dagster.fetch_observations(STREAMS[0].key, limit=1).records
    metadata = record.asset_observation.metadata
    numbers = {name: metadata[name].value for name in ("records behind", "records per second", "silver seconds")}
    assert numbers == {"records behind": 7, "records per second": 12.5, "silver seconds": 1.5}
