"""Sensors: new raw files and a champion that moved start a run, once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import deltalake
import pyarrow as pa
import pytest
from raw_zone import DAY, raw_event

from lakehouse.ingest import list_raw
from lakehouse.ingest_days import FIRST_DAY, DayOutOfRange
from lakehouse.settings import get_settings
from lakehouse.tables.bronze import FILES
from orchestration.plan import pending_spans
from orchestration.runner import RANGE_END, RANGE_START
from orchestration.sensors import new_champion, raw_files


@pytest.fixture
def here(settings, monkeypatch):
    """Sensors find this test's lake by the environment."""
    monkeypatch.setenv("SOUNDLAKE_LAKE", settings.lake)
    monkeypatch.setenv("SOUNDLAKE_STATE", str(settings.state))
    get_settings.cache_clear()
    return settings


def tick(sensor, **options) -> list[dg.RunRequest]:
    """The sensor's run requests, or its reason to skip."""
    with dg.DagsterInstance.ephemeral() as instance:
        found = sensor(dg.build_sensor_context(instance=instance, **options))
    if isinstance(found, dg.SkipReason):
        raise Skipped(found.skip_message)
    return found if isinstance(found, list) else [found]


class Skipped(Exception):
    pass


def close_ledger(settings) -> None:
    """Write the ledger as an ingest does, for every raw file there is."""
    rows = [(f.file.path, f.version) for f in list_raw(settings.lake)]
    table = pa.table({"source_file": [path for path, _ in rows], "version": [version for _, version in rows]})
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


def test_a_day_that_no_partition_has_is_named(here, raw):
    today = datetime.now(UTC).date()
    raw.events([raw_event()], day=today)
    assert pending_spans(here) == [(today, today)]
    for day in (today + timedelta(1), FIRST_DAY - timedelta(1)):
        path = raw.events([raw_event()], day=day)
        with pytest.raises(DayOutOfRange, match=f"{path}: landing date {day} is outside 2005-01-01 to {today}. Move"):
            pending_spans(here)
        (raw.lake / path).unlink()


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
