"""The asset that publishes, and the commands `rollout` and `rollback`, on the shared server."""

from __future__ import annotations

import dagster as dg
import pytest
from tiny_model import recommend_inputs
from typer.testing import CliRunner

import assets.serving
from lakehouse.settings import Settings, get_settings
from orchestration.cli import app
from serving.canary import Trial
from serving.lake_model import publisher
from serving.process import RunningServer
from serving.publish import PublishError
from serving.rollout import Rollout
from serving.traffic import Histogram, Traffic


@pytest.fixture
def lake(world, tmp_path, monkeypatch) -> Settings:
    """Settings whose model server is the shared one and whose API is nowhere."""
    named = {
        "LAKE": str(tmp_path / "lake"),
        "STATE": str(tmp_path / "state"),
        "SERVING_MODELS": str(world.base),
        "SERVING_ADDRESS": world.server.address,
        "MODEL_NAME": world.name,
        "API_ADDRESS": "http://127.0.0.1:9",
        "CANARY_REQUESTS": "200",
        "KEEP_VERSIONS": "1",
    }
    for name, value in named.items():
        monkeypatch.setenv(f"SOUNDLAKE_{name}", value)
    monkeypatch.setenv("COLUMNS", "200")
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


@pytest.fixture
def publish(world, lake, monkeypatch):
    """Stages a version as the gate does and materialises the asset; -> its metadata."""
    running = RunningServer(world.client, world.server.address, embedded=False)

    def run(version: int, stage: bool = True) -> dict:
        monkeypatch.setattr(assets.serving, "champion_version", lambda _: version)
        if stage:
            publisher(lake, running).stage(version)
        done = assets.serving.served_version(dg.build_asset_context(), settings=lake, model_server=running)
        return done.metadata

    return run


def typed(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def counted(requests: int, errors: int = 0) -> Traffic:
    answered = requests - errors
    latency = Histogram((0.01, 0.1), (requests, 0.0, 0.0))
    return Traffic(latency, Histogram((0.0, 1.0), (0.0, answered, 0.0)))


def test_a_laptop_publishes_by_the_gate_and_rolls_back(world, lake, publish):
    world.add(world.name, 1, 2, 3)
    assert typed("rollout").startswith("Nothing is published yet")
    assert publish(1)["decision"] == "promote"
    second = publish(2)
    assert "version 2 is stable" in second["summary"] and "no API answers" in second["reason"]
    assert publish(3)["deleted versions"].value == [1]
    assert publish(3)["decision"] == "nothing"
    assert publisher(lake, RunningServer(world.client, world.server.address, False)).current().labels == {
        "previous": 2,
        "stable": 3,
    }
    assert "version 2 is stable, 3 is not any more" in typed("rollback", "--reason", "songs of another country")
    assert world.client.ask(world.name, recommend_inputs([["t1"]]), label="stable").version == 2
    told = typed("rollout")
    assert "stable 2" in told and "version 3 rolled back (was 2)  songs of another country" in told
    with pytest.raises(PublishError, match="no previous version to return to"):
        typed("rollback")
    assert "rolled back before (songs of another country)" in publish(3)["reason"]
    assert "version 3 may be published again" in typed("rollout", "--retry", "3")
    assert publish(3)["decision"] == "promote"


def test_with_an_api_a_version_is_tried_first(world, lake, publish, monkeypatch):
    world.add(world.name, 1, 2)
    publish(1)
    now = {"stable": counted(10)}
    for module in ("serving.lake_model", "serving.traffic"):
        monkeypatch.setattr(f"{module}.scrape", lambda _: now)
    assert publish(2)["decision"] == "open"
    assert Rollout.load(lake.models_dir).canary == 2
    assert publish(2, stage=False)["reason"] == "0 of 200 requests"
    now |= {"stable": counted(4000), "canary": counted(150)}
    assert "Version 2 is on trial: 5.0% of listeners" in (told := typed("rollout"))
    assert "canary       150 requests, 0 unanswered" in told
    now |= {"canary": counted(250)}
    judged = publish(2, stage=False)
    assert (judged["decision"], judged["canary requests"], judged["version"]) == ("promote", 250, 2)
    assert [finding["name"] for finding in judged["comparison"].value] == ["errors", "latency", "scores"]
    assert Trial.load(lake.models_dir).total["canary"].requests == 250
