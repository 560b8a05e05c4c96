"""Sensors: new raw files and a champion that moved start a run, once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import deltalake
import pyarrow as pa
import pytest
from raw_zone import DAY, raw_event

from lakehouse.ingest import list_raw
from lakehouse.ingest_days import FIRST_DAY
from lakehouse.settings import get_settings
from lakehouse.tables.bronze import FILES
from orchestration.plan import pending_spans
from orchestration.runner import RANGE_END, RANGE_START
from orchestration.sensors import ATTEMPTS, new_champion, raw_files


@pytest.fixture
def here(settings, monkeypatch):
    """Sensors find this test's lake by the environment."""
    monkeypatch.setenv("SOUNDLAKE_LAKE", settings.lake)
    monkeypatch.setenv("SOUNDLAKE_STATE", str(settings.state))
    get_settings.cache_clear()
    return settings


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def tick(sensor, instance=None, cursor: str | None = None) -> list[dg.RunRequest]:
    """The sensor's run requests, or its reason to skip."""
    if instance is None:
        with dg.DagsterInstance.ephemeral() as own:
            return tick(sensor, own, cursor)
    resources = {"s3": None} if sensor is raw_files else {}  # a local lake asks for no client
    found = sensor(dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources))
    if isinstance(found, dg.SensorResult):
        found = list(found.run_requests or []) or found.skip_reason
    if isinstance(found, dg.SkipReason):
        raise Skipped(found.skip_message)
    return found if isinstance(found, list) else [found]


class Skipped(Exception):
    pass


def close_ledger(settings) -> None:
    """Write the ledger as an ingest does, for every raw file there is."""
    files = list_raw(settings.lake)
    table = pa.table(
        {
            "source_file": [f.file.path for f in files],
            "version": [f.version for f in files],
            "landing_date": [f.file.landing_date for f in files],
            "ingested_at": [datetime.fromtimestamp(0, UTC)] * len(files),
        },
        pa.schema(
            {
                "source_file": pa.string(),
                "version": pa.string(),
                "landing_date": pa.date32(),
                "ingested_at": pa.timestamp("us", "UTC"),
            }
        ),
    )
    deltalake.write_deltalake(settings.table_uri(FILES.name), table, mode="overwrite")


def test_pending_files_ask_for_a_run_of_their_days(here, raw):
    raw.events([raw_event()], day=DAY)
    raw.entities("tracks", [{"track_id": "t"}], day=DAY + timedelta(2))
    raw.events([raw_event()], day=date(2020, 1, 1))
    requests = tick(raw_files)
    spans = [(r.tags[RANGE_START], r.tags[RANGE_END], r.tags["soundlake/files"]) for r in requests]
    assert spans == [("2020-01-01", "2020-01-01", "1"), ("2026-01-05", "2026-01-07", "2")]
    assert len({r.run_key for r in requests}) == 2


def test_the_same_files_are_asked_for_once_and_a_further_one_again(here, raw):
    raw.events([raw_event()])
    first, same = tick(raw_files)[0].run_key, tick(raw_files)[0].run_key
    raw.events([raw_event()], name="b")
    assert first == same != tick(raw_files)[0].run_key


def test_nothing_pending_is_a_reason_to_skip(here, raw):
    with pytest.raises(Skipped, match="The ledger has every raw file"):
        tick(raw_files)
    path = raw.events([raw_event()])
    close_ledger(here)
    with pytest.raises(Skipped, match="The ledger has every raw file"):
        tick(raw_files)
    raw.write(path, b"changed")
    assert len(tick(raw_files)) == 1


def test_a_day_that_no_partition_has_is_named_and_holds_nothing_up(here, raw):
    today = datetime.now(UTC).date()
    raw.events([raw_event()], day=today)
    bad = [raw.events([raw_event()], day=day) for day in (FIRST_DAY - timedelta(1), today + timedelta(1))]
    bad.append(raw.write("raw/events/date=2026-02-30/hour=00/a.jsonl", b"{}"))
    skipped: list[str] = []
    assert pending_spans(here, skipped.append) == [(today, today)]
    assert sorted(line.split(": ")[0] for line in skipped) == sorted(bad)
    assert any(
        f"landing date {today + timedelta(1)} is outside 2005-01-01 to {today}. Move" in line for line in skipped
    )
    assert any("2026-02-30 is not a day. Move the file" in line for line in skipped)
    assert [r.tags["soundlake/files"] for r in tick(raw_files)] == ["1"]


def test_while_a_run_is_under_way_nothing_is_asked_for(here, raw, instance):
    raw.events([raw_event()])
    run = instance.create_run_for_job(ingest_job(), status=dg.DagsterRunStatus.STARTED)
    with pytest.raises(Skipped, match="A run of `ingest` is under way"):
        tick(raw_files, instance)
    instance.report_run_failed(run)
    assert len(tick(raw_files, instance)) == 1


def test_files_whose_run_failed_are_asked_for_again_a_few_times(here, raw, instance):
    raw.events([raw_event()])
    keys = []
    for _ in range(ATTEMPTS):
        (request,) = tick(raw_files, instance)
        keys.append(request.run_key)
        run = instance.create_run_for_job(ingest_job(), tags=request.tags, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run)
    assert len(set(keys)) == ATTEMPTS  # Dagster starts a key once
    with pytest.raises(Skipped, match=f"1 raw files were tried {ATTEMPTS} times"):
        tick(raw_files, instance)
    raw.events([raw_event()], name="b")
    assert len(tick(raw_files, instance)) == 1


def test_days_that_a_killed_run_left_undone_are_asked_for(here, raw, monkeypatch):
    raw.events([raw_event()])
    close_ledger(here)
    monkeypatch.setattr("orchestration.sensors.unfinished_days", lambda *_: {DAY})
    (request,) = tick(raw_files)
    assert (request.tags[RANGE_START], request.tags["soundlake/files"]) == (str(DAY), "0")


def ingest_job() -> dg.JobDefinition:
    from orchestration.definitions import defs

    return defs.resolve_job_def("ingest")


# ---------------------------------------------------------------------- new_champion
@pytest.fixture
def registry(here, tmp_path):
    """MLflow's registry in SQLite with versions 1 and 2 of the model, and no champion."""
    import mlflow

    (here.state_dir / "mlflow").mkdir(parents=True)
    client = mlflow.MlflowClient(here.tracking_uri, here.tracking_uri)
    client.create_registered_model(here.registered_model)
    for _ in range(2):
        client.create_model_version(here.registered_model, source=str(tmp_path))
    return client


def serve(settings, version: int) -> None:
    from serving.config import ModelConfig, empty_server_config, save_server_config, with_model

    model = ModelConfig(settings.model_name, "/models", (version,), {"stable": version})
    save_server_config(settings.models_config, with_model(empty_server_config(), model))


def test_without_a_champion_nothing_is_published(here, registry):
    with pytest.raises(Skipped, match="There is no champion yet"):
        tick(new_champion)


def test_a_champion_that_is_not_served_is_published_once(here, registry):
    registry.set_registered_model_alias(here.registered_model, "champion", "1")
    (request,) = tick(new_champion)
    assert request.tags["soundlake/champion"] == "1"
    assert tick(new_champion)[0].run_key == request.run_key
    serve(here, 1)
    with pytest.raises(Skipped, match="Version 1 is served"):
        tick(new_champion)
    registry.set_registered_model_alias(here.registered_model, "champion", "2")
    (following,) = tick(new_champion)
    assert (following.tags["soundlake/champion"], following.run_key != request.run_key) == ("2", True)
