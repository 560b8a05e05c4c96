"""Parts of the path that are down: killed, silent or broken for real; there is an answer, and it says why."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from online_api import running
from servers.redis import PROGRAM, WHY_SKIPPED, RedisServer

from serving.config import save_server_config
from serving.process import ServerProcess


def ask(client, user_id: str = "ann", **more):
    reply = client.post("/v1/recommendations", json={"user_id": user_id, "k": 3, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def popular(reply) -> bool:
    return [item["track_id"] for item in reply["items"]] == ["t0", "t2", "t3"] and reply["model"] == "popular"


@pytest.fixture
def own_server(world, served, tmp_path):
    """A model server of this test's own, to be killed."""
    config = tmp_path / "own.config"
    save_server_config(config, world.model(world.name, 1, labels={"stable": 1}))
    with ServerProcess(config) as server:
        yield server


@pytest.mark.slow
def test_a_model_server_that_hangs_is_killed_and_comes_back(own_server, served):
    settings = served.model_copy(update={"api_model_timeout_ms": 500})
    with running(settings, own_server.address) as api:
        assert ask(api)["degraded"] is None
        os.kill(own_server.pid, signal.SIGSTOP)
        began = time.monotonic()
        silent = ask(api)
        assert silent["degraded"]["cause"] == "model_timeout" and popular(silent)
        assert time.monotonic() - began < 2
        os.kill(own_server.pid, signal.SIGCONT)
        own_server.kill()
        gone = ask(api, history=[f"t{i}" for i in (1, 4, 1, 1, 4)])
        assert gone["degraded"]["cause"] == "model_unreachable" and popular(gone)
        assert own_server.address in gone["degraded"]["detail"]
        text = api.get("/metrics").text
        assert 'degraded_total{cause="model_timeout"} 1.0' in text
        assert 'degraded_total{cause="model_unreachable"} 1.0' in text
        own_server.start()
        deadline = time.monotonic() + 10
        while ask(api)["degraded"] is not None:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.slow
def test_more_requests_than_may_wait_for_the_model_are_answered_at_once(own_server, served):
    settings = served.model_copy(update={"api_model_timeout_ms": 3000, "api_in_flight": 2, "api_cache_seconds": 0})
    with running(settings, own_server.address) as api, ThreadPoolExecutor(3) as clients:
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            found = list(clients.map(lambda _: ask(api)["degraded"]["cause"], range(3)))
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        assert sorted(found) == ["model_timeout", "model_timeout", "overloaded"]
        assert ask(api)["degraded"] is None  # the places are free again


def test_no_model_server_at_all_and_a_model_that_is_not_served(lake_settings, served, world):
    with running(lake_settings, None, ready=False) as api:
        wait_for_catalogue(api)
        assert ask(api)["degraded"]["cause"] == "model_unreachable"
        assert api.get("/ready").status_code == 503 and "SOUNDLAKE_SERVING_ADDRESS" in api.get("/ready").json()["model"]
    nobody = served.model_copy(update={"model_name": "no-such-model"})
    with running(nobody, world.server.address, ready=False) as api:
        wait_for_catalogue(api)
        reply = ask(api)
        assert reply["degraded"]["cause"] == "model_not_served" and "no-such-model" in reply["degraded"]["detail"]
        assert popular(reply)


def wait_for_catalogue(api) -> None:
    deadline = time.monotonic() + 10
    while api.get("/ready").json()["catalogue"] != "ok" or api.get("/ready").json()["store"] != "ok":
        assert time.monotonic() < deadline, api.get("/ready").text
        time.sleep(0.02)


def test_a_store_that_was_never_made_and_one_that_is_broken(served, world, tmp_path):
    missing = served.model_copy(update={"online_store": str(tmp_path / "no-store")})
    with running(missing, world.server.address, ready=False) as api:
        time.sleep(0.3)
        reply = ask(api)
        assert reply["degraded"]["cause"] == "store_unavailable" and "no-store" in reply["degraded"]["detail"]
        assert ask(api, history=["t1"])["degraded"] is None  # who brings a history needs no store
        assert api.get("/ready").status_code == 503
        assert "features" in api.get("/v1/users/ann").json()["missing"]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "data.mdb").write_bytes(os.urandom(16384))
    with running(served.model_copy(update={"online_store": str(broken)}), world.server.address, ready=False) as api:
        time.sleep(0.3)
        assert ask(api)["degraded"]["cause"] == "store_unavailable"


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason=WHY_SKIPPED)
def test_a_redis_that_hangs_and_dies_under_requests(served, world, tmp_path):
    from online_api import write_listener

    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    server.start()
    settings = served.model_copy(update={"online_store": server.address})
    try:
        write_listener(settings, "ann", ["t1", "t4"])
        with running(settings, world.server.address) as api:
            assert ask(api)["degraded"] is None
            server.stop()
            reply = ask(api)
            assert reply["degraded"]["cause"] == "store_unavailable" and len(reply["items"]) == 3
            server.start()
            deadline = time.monotonic() + 10
            while (reply := ask(api))["degraded"] is not None:
                assert time.monotonic() < deadline
                assert reply["degraded"]["cause"] in ("store_unavailable", "unknown_user")  # it came back empty
                write_listener(settings, "ann", ["t1", "t4"])
                time.sleep(0.1)
    finally:
        server.stop()


def test_a_landing_zone_that_can_not_be_written_refuses_events_and_answers_on(served, world):
    raw = Path(served.lake) / "raw"
    raw.write_text("a file where the folder should be")
    with running(served, world.server.address) as api:
        event = {"event_id": "e", "event_type": "session_start", "schema_version": 1, "user_id": "ann", "payload": {},
                 "occurred_at": "2026-01-05T08:00:00Z"}  # fmt: skip
        refused = api.post("/v1/events", json={"events": [event]})
        assert refused.status_code == 503 and "send them again" in refused.json()["error"]["message"]
        assert ask(api)["degraded"] is None
        raw.unlink()
        assert api.post("/v1/events", json={"events": [event]}).status_code == 202


def test_an_answer_that_makes_no_sense_is_none(served, world, monkeypatch):
    from serving.online.model import OnlineModel

    whole = OnlineModel.ask

    async def broken(self, inputs, signature, deadline, **more):
        found = await whole(self, inputs, signature, deadline, **more)
        if signature == "explain":
            found.outputs["contributions"] = found.outputs["contributions"][:, :1, :1]
        return found

    with running(served, world.server.address) as api:
        monkeypatch.setattr(OnlineModel, "ask", broken)
        reply = ask(api)
        assert reply["degraded"]["cause"] == "model_error" and popular(reply)
