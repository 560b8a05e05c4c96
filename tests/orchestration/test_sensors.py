"""Sensors: new raw files, a champion that moved and a canary that can be judged start a run, once."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
from orchestration.sensors import ATTEMPTS, canary, new_champion, raw_files
from serving.canary import Trial
from serving.rollout import Rollout


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


def test_a_champion_on_trial_is_not_published_again(here, registry):
    serve(here, 1)
    registry.set_registered_model_alias(here.registered_model, "champion", "2")
    Rollout(0.05, "salt", here.model_name, 1, 2, datetime.now(UTC).isoformat()).save(here.models_dir)
    with pytest.raises(Skipped, match="Version 2 is on trial"):
        tick(new_champion)


# ---------------------------------------------------------------------- canary
PAGE = """# TYPE soundlake_requests counter
soundlake_requests_total{{route="/v1/recommendations",status="200",label="canary"}} {n}
# TYPE soundlake_model_seconds histogram
soundlake_model_seconds_bucket{{label="canary",le="0.01"}} {n}
soundlake_model_seconds_bucket{{label="canary",le="+Inf"}} {n}
# TYPE soundlake_scores histogram
soundlake_scores_bucket{{label="canary",le="0"}} 0
soundlake_scores_bucket{{label="canary",le="+Inf"}} {n}
"""


@pytest.fixture
def api(here, monkeypatch):
    """A page with as many requests of the canary as `api.count` says."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            body = PAGE.format(n=server.count).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.count = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SOUNDLAKE_API_ADDRESS", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("SOUNDLAKE_CANARY_REQUESTS", "100")
    get_settings.cache_clear()
    yield server
    server.shutdown()
    server.server_close()


def test_a_canary_is_judged_when_it_has_had_its_requests(here, api):
    with pytest.raises(Skipped, match="No version is on trial"):
        tick(canary)
    rollout = Rollout(0.05, "salt", here.model_name, 1, 2, datetime.now(UTC).isoformat())
    rollout.save(here.models_dir)
    Trial(rollout.opened_at, {}, {}).save(here.models_dir)
    api.count = 99
    with pytest.raises(Skipped, match="Version 2 is on trial: 99 of 100 requests"):
        tick(canary)
    api.count = 100
    (request,) = tick(canary)
    assert request.tags["soundlake/canary"] == "2"
    api.count = 30  # the API has begun again: 130 in all
    assert tick(canary)


def test_without_an_api_a_canary_waits_until_its_time_is_over(here, api, monkeypatch):
    monkeypatch.setenv("SOUNDLAKE_API_ADDRESS", "http://127.0.0.1:9")
    get_settings.cache_clear()
    Rollout(0.05, "salt", here.model_name, 1, 2, datetime.now(UTC).isoformat()).save(here.models_dir)
    with pytest.raises(Skipped, match=r"on trial; no API answers at http://127.0.0.1:9"):
        tick(canary)
    Rollout(0.05, "salt", here.model_name, 1, 2, "2026-01-01T00:00:00+00:00").save(here.models_dir)
    assert tick(canary)
