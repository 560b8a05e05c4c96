"""A version on trial at a real API and a real model server: who is answered by it, and what becomes of it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from online_api import running
from tiny_model import TRACKS, export_model

from serving.canary import OPEN, PROMOTE, ROLL_BACK, CanaryTrial, Rules
from serving.config import save_server_config
from serving.journal import FILE as JOURNAL
from serving.publish import Publisher
from serving.traffic import read_traffic

REQUESTS = 900


@pytest.fixture
def api(world, served):
    settings = served.model_copy(update={"serving_models": world.config_file.parent, "api_rate": 0})
    with running(settings, world.server.address) as client:
        yield client


@pytest.fixture
def trial(world, api):
    """Of half the listeners; what the API counted is read off its page."""
    save_server_config(world.config_file, world.model(world.name, 1, labels={"stable": 1}))
    publisher = Publisher(world.client, world.config_file, world.base, None, world.name, notice_s=1.1)
    yield CanaryTrial(publisher, lambda: read_traffic(api.get("/metrics").text), Rules(share=0.5, requests=400))
    for name in ("rollout.json", "trial.json", JOURNAL):
        (world.config_file.parent / name).unlink(missing_ok=True)


def put_on_trial(trial, version: int) -> None:
    trial.publisher.stage(version)
    decision = trial.decide(version)
    assert decision.action == OPEN
    trial.carry_out(decision)
    time.sleep(1.1)  # the API looks once a second


def listen(api, n: int = REQUESTS) -> list[dict]:
    """Lists of so many listeners with histories of their own."""
    random, out = np.random.default_rng(0), []
    for number in range(n):
        history = random.choice(TRACKS, 4).tolist()
        reply = api.post("/v1/recommendations", json={"user_id": f"user-{number}", "k": 3, "history": history})
        assert reply.status_code == 200
        out.append(reply.json())
    return out


def decided(trial, version: int) -> str:
    decision = trial.decide(version)
    trial.carry_out(decision)
    return decision.action


def test_one_as_good_is_promoted_and_its_listeners_stay_with_it_meanwhile(world, api, trial):
    export_model(world.base / world.name, 3, weights=1)
    put_on_trial(trial, 3)
    first, again = listen(api, 200), listen(api, REQUESTS)
    versions = [reply["version"] for reply in first]
    assert versions == [reply["version"] for reply in again[:200]] and 0.35 < versions.count(3) / 200 < 0.65
    assert {reply["label"] for reply in again if reply["version"] == 3} == {"canary"}
    assert decided(trial, 3) == PROMOTE
    assert {reply["version"] for reply in listen(api, 20)} == {3}


def test_one_that_errs_is_rolled_back_and_nobody_went_without_a_list(world, api, trial):
    export_model(world.base / world.name, 3, weights=1, refuses="t4")
    put_on_trial(trial, 3)
    replies = listen(api)
    causes = {reply["degraded"] and reply["degraded"]["cause"] for reply in replies}
    assert causes == {None, "model_error"} and all(reply["items"] for reply in replies)
    assert decided(trial, 3) == ROLL_BACK
    assert {(r["version"], r["degraded"] is None) for r in listen(api, 50)} == {(1, True)}


def test_one_that_scores_on_another_scale_is_rolled_back(world, api, trial):
    put_on_trial(trial, 2)
    listen(api)
    decision = trial.decide(2)
    assert decision.action == ROLL_BACK and "score" in decision.reason
