"""Listeners who hear what they are shown: the world's laws, the event contract, the same again for a seed."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from lakehouse.events import decode_event, encode_event
from simulation import World
from simulation.live import listen, moments
from simulation.live_http import Api, Listeners, LiveError, live

DAY = 8


def small_world(seed=11) -> World:
    return World.create(users=40, tracks=200, days=DAY, start=date(2026, 1, 1), seed=seed)


def by_taste(world, moment, sign=1):
    order = np.argsort(-sign * world.truth.affinity(moment.user, np.arange(len(world.tracks))))
    return lambda shown: [int(track) for track in order if track not in shown][:10]


def test_who_is_shown_what_suits_them_keeps_more(world):
    kept = dict.fromkeys((1, -1), 0)
    for sign in kept:
        for moment in moments(world, DAY, listeners=150, longest=10):
            kept[sign] += len(listen(moment, by_taste(world, moment, sign)).kept)
    assert kept[1] > 3 * kept[-1]


def test_the_nth_track_meets_the_same_chance_whoever_chose_it(world):
    """A listener who skips by the same random numbers keeps whatever suits them more than what they kept."""
    for moment in moments(world, DAY, listeners=60, longest=10):
        good, bad = (listen(moment, by_taste(world, moment, sign)).plays for sign in (1, -1))
        both = min(len(good.track), len(bad.track))
        known = world.knows(moment.user, np.stack([good.track[:both], bad.track[:both]]))
        wet = moment.sessions.wet[0]
        activity = moment.sessions.activity[0]
        chance = [
            world.truth.skip_probability(moment.user, p.track[:both], activity, wet, known[i])
            for i, p in enumerate((good, bad))
        ]
        less = chance[0] <= chance[1]
        assert not (good.skipped[:both] & ~bad.skipped[:both] & less).any()


def test_events_obey_the_contract_and_repeat(world):
    moment = next(m for m in moments(world, DAY) if m.plays > 8)
    heard = listen(moment, by_taste(world, moment, -1))
    lines = [encode_event(event) for event in heard.events()]
    again = listen(moment, by_taste(world, moment, -1))
    assert [encode_event(event) for event in again.events()] == lines
    events = [decode_event(line) for line in lines]
    for event in events:
        decode_event(encode_event(event), event.received_at.astimezone(UTC).date())
    assert len({e.event_id for e in events}) == len(events)
    assert {e.user_id for e in events} == {moment.user_id} and len({e.session_id for e in events}) == 1
    plays = {e.event_id: e for e in events if type(e).__name__ == "PlayEvent"}
    skips = [e for e in events if type(e).__name__ == "SkipEvent"]
    assert len(plays) == len(heard.plays.track) and len(skips) == heard.plays.skipped.sum() > 0
    for skip in skips:
        assert plays[skip.payload.play_event_id].payload.track_id == skip.payload.track_id
    assert all(e.context.network != "offline" for e in events)


def test_an_empty_list_ends_the_session(world):
    moment = next(m for m in moments(world, DAY) if m.plays > 3)
    lists = iter([[5, 7], []])
    heard = listen(moment, lambda shown: next(lists))
    assert heard.plays.track.tolist() == [5, 7][: len(heard.plays.track)] and heard.lists == [[5, 7]]
    nothing = listen(moment, lambda shown: [])
    assert not len(nothing.plays.track) and [type(e).__name__ for e in nothing.events()] == [
        "SessionStartEvent",
        "SessionEndEvent",
    ]


class FakeApi:
    """Recommends the tracks with the lowest numbers that it may; the first post of events is turned away."""

    def __init__(self, world):
        self.asked, self.posts, self.refused = [], [], 0
        fake, ids = self, [world.tracks.track_id(i) for i in range(len(world.tracks))]

        class Handler(BaseHTTPRequestHandler):
            protocol_version, wbufsize = "HTTP/1.1", -1

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v1/events":
                    if not fake.refused:
                        fake.refused += 1
                        return self.answer(503, {})
                    fake.posts.append(body["events"])
                    return self.answer(202, {"accepted": len(body["events"]), "durable": "here"})
                fake.asked.append(body)
                items = [{"track_id": t} for t in ids if t not in body["exclude"]][: body["k"]]
                return self.answer(200, {"version": 3, "model": "m", "degraded": None, "items": items})

            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def fake():
    world = small_world()
    api = FakeApi(world)
    yield world, api
    api.close()


def test_listeners_ask_with_their_moment_and_report_what_they_did(fake):
    world, server = fake
    summary = live(Listeners(world, Api(server.address)), DAY, requests=40)
    assert summary.lists == len(server.asked) >= 40 and server.refused == 1
    assert summary.events == sum(map(len, server.posts)) and len(server.posts) == summary.sessions
    assert summary.versions == {"3": summary.lists} and not summary.degraded
    ids = [event["event_id"] for post in server.posts for event in post]
    assert len(set(ids)) == len(ids)
    for post in server.posts:
        for event in post:
            decode_event(json.dumps(event))
    assert {"hour", "device", "activity", "country"} <= server.asked[0]["context"].keys()
    skipped: dict[str, set] = {}
    for post in server.posts:
        for event in post:
            if event["event_type"] == "skip":
                skipped.setdefault(event["user_id"], set()).add(event["payload"]["track_id"])
    last = {asked["user_id"]: set(asked["exclude"]) for asked in server.asked}
    assert any(len(excluded & skipped.get(user, set())) > 3 for user, excluded in last.items())


def test_a_seed_repeats_and_another_is_another(fake):
    world, server = fake
    posts = []
    for chosen in (world, small_world(), small_world(seed=12)):
        server.asked.clear(), server.posts.clear()
        live(Listeners(chosen, Api(server.address)), DAY, requests=15)
        posts.append(json.dumps([server.asked, server.posts]))
    assert posts[0] == posts[1] != posts[2]


def test_a_rate_is_kept_and_only_some_listeners_ask(fake):
    world, server = fake
    summary = live(Listeners(world, Api(server.address)), DAY, requests=12, rate=50, only=5)
    assert summary.seconds >= (summary.lists - 1) / 50
    assert {asked["user_id"] for asked in server.asked} <= {world.users.user_id(i) for i in range(5)}


def test_errors_say_what_to_do(fake):
    world, server = fake
    with pytest.raises(LiveError, match="http://host:port"):
        Api("https://somewhere")
    other = World.create(users=5, tracks=60, days=DAY, start=date(2026, 1, 1), seed=1)
    people = Listeners(other, Api(server.address))
    people._place.clear()
    with pytest.raises(LiveError, match="no track of this world"):
        live(people, DAY, requests=1)
    server.close()
    with pytest.raises(LiveError, match="soundlake serve"):
        live(Listeners(world, Api(server.address, timeout=0.3)), DAY, requests=1)


def test_the_command_shows_who_answered_and_refuses_days_to_come(fake, tmp_path):
    from typer.testing import CliRunner

    from orchestration.cli import app

    _, server = fake
    world = ["--users", "40", "--tracks", "200", "--days", str(DAY), "--seed", "11", "--lake", str(tmp_path / "lake")]
    ask = ["simulate", "--live", *world, "--address", server.address, "--requests", "8", "--listeners", "20"]
    done = CliRunner().invoke(app, ask)
    assert done.exit_code == 0, done.output
    assert "lists by version: 3 " in done.output and "kept" in done.output and len(server.asked) >= 8
    late = CliRunner().invoke(app, [*ask, "--start", "2999-01-01"])
    assert "future" in str(late.exception) and "--start-day" in str(late.exception)
