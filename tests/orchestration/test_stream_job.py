"""The job `stream` on Dagster's page with a real broker: launched, watched and stopped as the page does it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from raw_zone import RawZone, raw_event
from servers.kafka import Broker

from lakehouse import arrow
from lakehouse.settings import Settings
from lakehouse.stream.produce import produce
from lakehouse.stream.topics import Topics
from lakehouse.tables.silver import LISTENS
from orchestration.cli.dev import environment

pytestmark = [pytest.mark.long, pytest.mark.slow]

PLAYS = 200
WHERE = "{repositoriesOrError {... on RepositoryConnection {nodes {name location {name}}}}}"
LAUNCH = """mutation($given: ExecutionParams!) {launchRun(executionParams: $given) {
    __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""
STATUS = "query($id: ID!) {runOrError(runId: $id) {... on Run {status}}}"
STOP = "mutation($id: String!) {terminateRun(runId: $id) {__typename ... on TerminateRunSuccess {run {runId}}}}"
FIGURES = """{assetOrError(assetKey: {path: ["stream", "kafka"]}) {... on Asset {assetObservations(limit: 50) {
    metadataEntries {label ... on IntMetadataEntry {intValue} ... on FloatMetadataEntry {floatValue}
                     ... on TextMetadataEntry {text}}}}}}"""
WRITTEN = """{assetOrError(assetKey: {path: ["silver", "listens"]}) {... on Asset {assetMaterializations(limit: 1) {
    description metadataEntries {label ... on IntMetadataEntry {intValue}}}}}}"""


class Page:
    """Dagster's page, asked as a browser asks it."""

    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, query: str, **variables: Any) -> dict:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def launch(self, job: str, config: dict) -> str:
        """-> run id."""
        [node] = self.ask(WHERE)["repositoriesOrError"]["nodes"]
        selector = {
            "repositoryName": node["name"],
            "repositoryLocationName": node["location"]["name"],
            "jobName": job,
        }
        done = self.ask(LAUNCH, given={"selector": selector, "runConfigData": json.dumps(config)})["launchRun"]
        assert done["__typename"] == "LaunchRunSuccess", done
        return done["run"]["runId"]

    def status(self, run_id: str) -> str:
        return self.ask(STATUS, id=run_id)["runOrError"]["status"]

    def figures(self) -> list[dict[str, Any]]:
        """The observations of the stream's asset, newest first."""
        asset = self.ask(FIGURES)["assetOrError"]
        return [_values(o) for o in asset.get("assetObservations", [])]

    def listens_written(self) -> list[dict[str, Any]]:
        asset = self.ask(WRITTEN)["assetOrError"]
        return [{**_values(m), "by": m["description"]} for m in asset.get("assetMaterializations", [])]


def _values(event: dict) -> dict[str, Any]:
    return {
        e["label"]: next((e[kind] for kind in ("intValue", "floatValue", "text") if kind in e), None)
        for e in event["metadataEntries"]
    }


def wait_for(condition: Callable[[], object], what: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def page(settings, broker, tmp_path):
    """-> (page of `soundlake dev`, its settings); MLflow and the model server, which no stream needs, are elsewhere."""
    elsewhere = {"mlflow_uri": "http://127.0.0.1:9", "serving_address": "127.0.0.1:9"}
    given = settings.model_copy(update={"kafka_servers": broker.address, **elsewhere})
    given = Settings(**{name: getattr(given, name) for name in given.model_fields_set | {"kafka_servers", *elsewhere}})
    port, log = free_port(), tmp_path / "dev.log"
    command = [sys.executable, "-c", "from orchestration.cli import main; main()", "dev", "--dagster-port", str(port)]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment(given))
    try:
        wait_for(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, log.read_text)
        assert process.poll() is None, log.read_text()
        yield Page(port), given
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def config(**values: Any) -> dict:
    return {"ops": {"run_micro_batches": {"config": {"trigger_seconds": 0.2, **values}}}}


def listens(settings: Settings) -> int:
    try:
        return arrow.read(settings, LISTENS, ["event_id"]).num_rows
    except arrow.TableMissing:
        return 0


@pytest.mark.timeout(600)
def test_the_page_runs_shows_and_stops_the_stream(page, tmp_path):
    dagster, settings = page
    raw = RawZone(tmp_path / "world")
    raw.events([raw_event(event_id=f"p{n}", user_id=f"u{n % 9}") for n in range(PLAYS)])
    produce(settings.kafka_servers, Topics(settings.kafka_topic_prefix), tmp_path / "world")

    run = dagster.launch("stream", config(max_per_batch=50))
    wait_for(lambda: listens(settings) == PLAYS or dagster.status(run) == "FAILURE", lambda: dagster.status(run))
    wait_for(lambda: any(f["records"] for f in dagster.figures()), dagster.figures)
    assert dagster.status(run) == "STARTED"
    shown = dagster.figures()[-1]
    assert shown["state"] == "running"
    assert 0 < shown["records"] <= 50 and shown["records per second"] > 0 and shown["batch seconds"] > 0
    assert shown["records behind"] >= PLAYS - 2 * 50 and shown["listeners active"] == 9

    dagster.ask(STOP, id=run)
    wait_for(lambda: dagster.status(run) in ("CANCELED", "SUCCESS", "FAILURE"), lambda: dagster.status(run))
    assert dagster.status(run) == "CANCELED"
    assert dagster.figures()[0]["state"] == "stopped"
    [written] = dagster.listens_written()
    assert written["dagster/row_count"] == PLAYS and written["by"] == "written by a stream"

    # a run whose time is over ends well, and the next goes on where it was
    raw.events([raw_event(event_id=f"q{n}", user_id=f"u{n % 9}") for n in range(10)], "b")
    produce(settings.kafka_servers, Topics(settings.kafka_topic_prefix), tmp_path / "world")
    again = dagster.launch("stream", config(run_seconds=15.0))
    wait_for(lambda: dagster.status(again) in ("SUCCESS", "FAILURE"), lambda: dagster.status(again))
    assert dagster.status(again) == "SUCCESS"
    assert listens(settings) == PLAYS + 10
    assert dagster.figures()[0]["state"] == "stopped"
