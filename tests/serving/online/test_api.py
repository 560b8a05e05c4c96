"""The API over a real model server and a real store: answers, events, what is known of a listener."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import pytest
from online_api import running, write_listener
from tiny_model import expected_scores

from lakehouse.events import decode_event
from lakehouse.parse import parse
from lakehouse.rows import RawFile


def ask(client, **more):
    return client.post("/v1/recommendations", json={"user_id": "ann", "k": 3, **more})


def best(version: int, history: list[str], exclude: list[str], k: int = 3) -> list[str]:
    scores = expected_scores(version, history, exclude)
    return sorted(scores, key=lambda track: -scores[track])[:k]


def landed(settings) -> list:
    """Every event of the raw zone, checked against the contract of its folder."""
    events = []
    for path in sorted(Path(settings.lake).glob("raw/events/date=*/hour=*/*.jsonl.gz")):
        events += [decode_event(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return events


def ingested(settings) -> tuple[list[dict], list[dict]]:
    """Rows of bronze.events that ingest makes of the raw zone, and what it puts into quarantine."""
    good, bad = [], []
    for path in sorted(Path(settings.lake).glob("raw/events/date=*/hour=*/*.jsonl.gz")):
        file = RawFile(str(path), "events", date.fromisoformat(path.parts[-3].removeprefix("date=")))
        with path.open("rb") as stream:
            for rows, faults in parse(file, stream, b"key"):
                good += rows.to_pylist() if rows is not None else []
                bad += faults.to_pylist() if faults is not None else []
    return good, bad


def event(number: int, **more) -> dict:
    at = "2026-01-05T08:00:00Z"
    play = {"event_id": f"e{number}", "event_type": "play", "schema_version": 1, "user_id": "ann", "occurred_at": at}
    return {**play, "payload": {"track_id": "t1"}, **more}


def test_an_answer_is_the_model_s_with_names_reasons_and_timings(api):
    reply = ask(api, context={"hour": 8, "device": "phone"}).json()
    assert [item["track_id"] for item in reply["items"]] == best(1, ["t1", "t4"], ["t1", "t4"])
    assert reply["degraded"] is None and (reply["version"], reply["label"]) == (1, "stable")
    first = reply["items"][0]
    assert first["title"].startswith("Title ") and first["artist"].startswith("Artist ")
    assert first["sentence"].endswith(".") and first["reasons"] and first["propensity"] == 1
    assert reply["timings_ms"]["total"] >= reply["timings_ms"]["rank"] > 0


def test_exclusion_repeats_given_history_and_no_reasons(api):
    plain = [item["track_id"] for item in ask(api).json()["items"]]
    reply = ask(api, exclude=plain[:1]).json()
    assert [item["track_id"] for item in reply["items"]] == best(1, ["t1", "t4"], ["t1", "t4", plain[0]])
    again = [item["track_id"] for item in ask(api, repeats=True, k=8).json()["items"]]
    assert {"t1", "t4"} <= set(again)
    reply = ask(api, history=["t7"], explain=False).json()
    assert [item["track_id"] for item in reply["items"]] == best(1, ["t7"], ["t7"])
    assert all(item["reasons"] == [] and item["sentence"] == "" for item in reply["items"])


def test_nothing_known_is_answered_with_what_is_popular(api):
    reply = ask(api, user_id="nobody").json()
    assert reply["degraded"]["cause"] == "unknown_user" and "nobody" in reply["degraded"]["detail"]
    assert [item["track_id"] for item in reply["items"]] == ["t0", "t1", "t2"]
    assert (reply["model"], reply["version"]) == ("popular", None)
    assert reply["items"][0]["sentence"] == "Popular with listeners this week."
    # t7 alone is played in France, t9 does not come: it is excluded; a country nobody knows is everybody's.
    french = ask(api, user_id="nobody", context={"country": "FR"}, exclude=["t0"]).json()
    assert [item["track_id"] for item in french["items"]] == ["t7", "t1", "t2"]
    assert ask(api, user_id="nobody", context={"country": "XX"}).json()["items"][0]["track_id"] == "t0"
    assert ask(api, user_id="new").json()["degraded"]["cause"] == "empty_history"
    assert ask(api, history=[]).json()["degraded"]["cause"] == "empty_history"


def test_a_reload_changes_the_version_and_fails_no_request(api, served, world):
    world.client.reload(world.model(world.name, 1, 2, labels={"stable": 1}))
    world.client.wait_available(world.name, 2)
    versions = [ask(api).json()["version"] for _ in range(5)]
    world.client.reload(world.model(world.name, 2, labels={"stable": 2}))
    replies = [ask(api).json() for _ in range(30)]
    assert versions == [1] * 5 and all(reply["degraded"] is None for reply in replies)
    assert replies[-1]["version"] == 2
    assert [item["track_id"] for item in replies[-1]["items"]] == best(2, ["t1", "t4"], ["t1", "t4"])


def test_the_same_again_is_answered_without_the_model_until_something_changes(served, world):
    settings = served.model_copy(update={"api_cache_seconds": 60})
    with running(settings, world.server.address) as api:
        first, again = ask(api).json(), ask(api).json()
        assert first["items"] == again["items"] and first["request_id"] != again["request_id"]
        assert again["timings_ms"]["rank"] == 0 < first["timings_ms"]["rank"]
        assert ask(api, context={"hour": 3}).json()["timings_ms"]["rank"] > 0
        write_listener(settings, "ann", ["t1", "t4", "t6"])
        fresh = ask(api).json()
        assert [item["track_id"] for item in fresh["items"]] == best(1, ["t1", "t4", "t6"], ["t1", "t4", "t6"])
        assert "soundlake_cached_total 1.0" in api.get("/metrics").text


def test_events_are_durable_when_they_are_acknowledged(api, served):
    reply = api.post("/v1/events", json={"events": [event(1), event(2, received_at="2026-01-05T08:00:01Z")]})
    assert reply.status_code == 202 and reply.json()["accepted"] == 2
    places = [Path(place.removeprefix("file://")) for place in reply.json()["durable"].split(", ")]
    assert all(place.is_file() for place in places) and len(places) == 2  # the hour now, and that of the second
    assert sorted(found.event_id for found in landed(served)) == ["e1", "e2"]


@pytest.mark.parametrize(
    ("wrong", "field", "value"),
    [
        ({"payload": {"track_id": 7}}, "events[1].payload.track_id", 7),
        ({"event_type": "dance"}, "events[1].event_type", "dance"),
        ({"occurred_at": "1999-01-01T00:00:00Z"}, "events[1].occurred_at", "1999-01-01T00:00:00Z"),
        ({"user_id": ""}, "events[1].user_id", ""),
        ({"payload": {}}, "events[1].payload.track_id", None),
    ],
)
def test_one_wrong_event_and_none_is_taken(api, served, wrong, field, value):
    reply = api.post("/v1/events", json={"events": [event(1), event(2, **wrong)]})
    error = reply.json()["error"]
    assert reply.status_code == 422 and (error["field"], error["value"]) == (field, value), error
    assert landed(served) == []


def test_what_was_shown_is_logged_after_the_reply(served, world):
    with running(served, world.server.address) as api:
        reply = ask(api, context={"device": "phone", "country": "FR", "temperature": 3.5}).json()
        recent = api.get("/v1/users/ann").json()["recommendations"]
        nobody = ask(api, user_id="nobody").json()
    assert [found["request_id"] for found in recent] == [reply["request_id"]]
    events = {found.event_id: found for found in landed(served)}
    shown = events[reply["request_id"]]
    assert shown.payload.track_ids == [item["track_id"] for item in reply["items"]]
    assert (shown.payload.propensity, shown.payload.propensities) == (1.0, [1.0] * 3)
    assert (shown.payload.policy, shown.payload.policy_version) == (world.name, "1")
    assert (shown.device.type, shown.context.country, shown.context.temperature_c) == ("phone", "FR", 3.5)
    assert events[nobody["request_id"]].payload.policy == "popular" and len(events) == 2
    good, bad = ingested(served)
    assert bad == [] and {row["event_id"] for row in good} == set(events)
    row = next(row["payload"] for row in good if row["event_id"] == reply["request_id"])
    assert (row["request_id"], row["propensities"]) == (reply["request_id"], [1.0] * 3)


def test_exploration_is_logged_with_the_chance_of_each_place(served, world):
    settings = served.model_copy(update={"api_explore": 1.0})
    with running(settings, world.server.address) as api:
        replies = [ask(api, k=4).json() for _ in range(10)]
    chances = [item["propensity"] for reply in replies for item in reply["items"]]
    assert min(chances) < 1 and all(0 < chance <= 1 for chance in chances)
    assert len({tuple(item["track_id"] for item in reply["items"]) for reply in replies}) > 1
    shown = {found.event_id: found.payload for found in landed(settings)}
    for reply in replies:
        assert shown[reply["request_id"]].propensities == [item["propensity"] for item in reply["items"]]
        assert 0 < shown[reply["request_id"]].propensity <= 1


def test_what_is_known_of_a_listener(api, served):
    found = api.get("/v1/users/ann").json()
    assert found["known"] and found["features"]["user_session"]["values"]["last_tracks"] == ["t4", "t1"]
    assert found["features"]["user_session"]["expired"] is False and len(found["user_key"]) == 32
    assert set(found["missing"]) == {"history", "recommendations"}  # this lake has neither table
    assert api.get("/v1/users/nobody").json()["known"] is False
    assert api.get("/v1/users/a%2Fb%20c").json()["user_id"] == "a/b c"
    assert api.get(f"/v1/users/{'x' * 300}").status_code == 422


def test_metrics_have_the_agreed_names(api):
    ask(api), ask(api, user_id="nobody"), ask(api, k=0)
    text = api.get("/metrics").text
    for line in (
        'soundlake_requests_total{label="stable",route="/v1/recommendations",status="200"} 2.0',
        'soundlake_requests_total{label="",route="/v1/recommendations",status="422"} 1.0',
        'soundlake_degraded_total{cause="unknown_user"} 1.0',
        'soundlake_stage_seconds_count{stage="total"} 2.0',
        'soundlake_model_seconds_count{label="stable"} 1.0',
        'soundlake_scores_count{label="stable"} 1.0',
    ):
        assert line in text
