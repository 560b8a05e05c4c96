"""Running totals: the same rows however the events come, from state that a restart makes again."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from lakehouse import delta_log
from lakehouse.online.store import StoreUnavailable, open_store
from lakehouse.rows import EVENT_SCHEMA
from lakehouse.storage import storage_for
from lakehouse.stream.clock import Clock, ClockLog
from lakehouse.stream.listener import SESSION_US
from lakehouse.stream.stats import BatchStats
from lakehouse.stream.totals import Totals
from lakehouse.stream.totals_rows import ADS, RECENT, RECENT_PLAYS, SCHEMAS, SESSION
from lakehouse.tables.bronze import EVENTS

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
TYPES = {
    "user_key": pa.string(), "event_id": pa.string(), "event_type": pa.string(),
    "occurred_at": pa.timestamp("us", "UTC"), "received_at": pa.timestamp("us", "UTC"),
    "track_id": pa.string(), "ms_played": pa.int64(), "play_event_id": pa.string(), "position_ms": pa.int64(),
    "reason_end": pa.string(),
}  # fmt: skip


def event(kind: str, event_id: str, minute: float, user: str = "u1", **payload) -> dict:
    at = START + timedelta(minutes=minute)
    empty = dict.fromkeys(TYPES)
    known = {"user_key": user, "event_id": event_id, "event_type": kind, "occurred_at": at}
    return {**empty, **known, "received_at": at + timedelta(seconds=1), **payload}


def play(event_id: str, minute: float, user: str = "u1", ms: int | None = 60_000, **more) -> dict:
    return event("play", event_id, minute, user, track_id=f"t-{event_id}", ms_played=ms, **more)


def table(events: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(events, schema=pa.schema(TYPES.items()))


def clock_of(events: list[dict]) -> Clock:
    return Clock(max(e["occurred_at"] for e in events))


def rows(store, users: list[str], now: datetime) -> dict:
    """All online rows as plain values."""
    found = {}
    for schema in SCHEMAS:
        for user in users:
            row = store.get(schema, user, now)
            values = {name: v.tolist() if hasattr(v, "tolist") else v for name, v in row.values.items()}
            found[schema.view, user] = (row.found, values)
    return found


@pytest.fixture
def store(settings):
    with open_store(settings) as opened:
        yield opened


def test_a_session_in_progress(store):
    events = [play("a", 0), play("b", 2, reason_end="fwdbtn"), play("c", 40), event("skip", "s", 41, play_event_id="c")]
    Totals(store).update(table(events), clock_of(events))
    session = store.get(SESSION, "u1", START + timedelta(minutes=41)).values
    # 40 - (2 + 1) minutes is more than the gap of half an hour: c begins a session, and its skip is told
    assert (session["in_progress"], session["plays"], session["skips"], session["distinct_tracks"]) == (1, 1, 1, 1)
    assert session["started_at"] == START + timedelta(minutes=40)
    assert session["heard_until"] == START + timedelta(minutes=41)
    recent = store.get(RECENT, "u1", START + timedelta(minutes=41)).values
    assert recent["event_ids"] == ["c", "b", "a"]
    assert recent["played_at"].tolist()[:4] == [int(e["occurred_at"].timestamp()) for e in events[2::-1]] + [0]


def test_a_session_ends_when_the_watermark_has_passed_its_gap(store):
    totals = Totals(store)
    totals.update(table([play("a", 0)]), Clock(START))
    other = [play("b", 39, user="u2")]
    assert totals.update(table(other), clock_of(other)).ended == 0  # the watermark is at minute 29
    other = [play("c", 42, user="u2")]
    assert totals.update(table(other), clock_of(other)).ended == 1
    assert store.get(SESSION, "u1", START + timedelta(minutes=42)).values["in_progress"] == 0
    again = [play("d", 43)]
    totals.update(table(again), clock_of(again))
    now = START + timedelta(minutes=43)
    assert store.get(SESSION, "u1", now).values["plays"] == 1
    assert store.get(RECENT, "u1", now).values["event_ids"] == ["d", "a"]  # a comes from the listener's own row


def test_ads_of_the_last_hour(store):
    kinds = ("ad_impression", "ad_skip", "ad_impression", "ad_complete", "ad_click", "ad_request")
    events = [event(kind, f"ad{n}", 20 * n) for n, kind in enumerate(kinds)]
    Totals(store).update(table(events), clock_of(events))
    row = store.get(ADS, "u1", START + timedelta(minutes=100)).values
    counts = {name: row[f"{name}_1h"] for name in ("impressions", "completions", "skips", "clicks")}
    assert counts == {"impressions": 0, "completions": 1, "skips": 0, "clicks": 1}  # minutes 41 to 100
    assert row["last_ad_at"] == START + timedelta(minutes=80)
    assert store.get(ADS, "u1", START + timedelta(minutes=161)).expired


@pytest.mark.parametrize("seed", range(5))
def test_order_duplicates_and_restarts_change_nothing(settings, store, tmp_path, seed):
    draw = random.Random(seed)
    users = ["u1", "u2", "u3"]
    events = []
    for n in range(150):
        user, minute = draw.choice(users), draw.uniform(0, 200)
        events.append(play(f"p{n}", minute, user, ms=draw.choice([None, 30_000, 200_000])))
        if draw.random() < 0.3:
            skip = event("skip", f"s{n}", minute + 0.5, user, play_event_id=f"p{n}", position_ms=draw.randrange(30_000))
            events.append(skip)
        if draw.random() < 0.3:
            events.append(event(draw.choice(("ad_impression", "ad_skip")), f"a{n}", minute, user))
    clock = clock_of(events)
    now = clock.at
    Totals(store).update(table(events), clock)
    whole = rows(store, users, now)

    shuffled = events + draw.sample(events, 50)
    draw.shuffle(shuffled)
    with open_store(settings.model_copy(update={"online_store": str(tmp_path / "other")})) as other:
        landed, totals = [], Totals(other)
        for start in range(0, len(shuffled), 40):
            part = shuffled[start : start + 40]
            totals.update(table(part), clock)
            landed += part
            if draw.random() < 0.5:  # killed and started again: state comes from bronze, the last batch comes twice
                _write_bronze(settings, landed)
                totals = Totals(other)
                totals.restore(settings, clock)
                totals.update(table(part), clock)
        assert rows(other, users, now) == whole


def _write_bronze(settings, events: list[dict]) -> None:
    from deltalake import write_deltalake

    names = ("track_id", "ms_played", "play_event_id", "position_ms", "reason_end")
    filled = {"schema_version": 1, "user_id": "x", "clock": "event", "raw": "{}", "source_file": "kafka/t/0"}
    lines = [
        {**{k: v for k, v in e.items() if k not in names}, **filled, "line": n, "landing_date": START.date(),
         "payload": {name: e[name] for name in names}}
        for n, e in enumerate(events)
    ]  # fmt: skip
    write_deltalake(delta_log.uri(settings, EVENTS), pa.Table.from_pylist(lines, EVENT_SCHEMA), mode="overwrite")


def test_only_the_last_fifty_plays_are_told_and_a_long_session_is_counted_whole(store):
    events = [play(f"p{n:03}", n) for n in range(120)]
    totals = Totals(store)
    for start in range(0, 120, 25):
        part = events[start : start + 25]
        totals.update(table(part), clock_of(part))
    now = START + timedelta(minutes=120)
    recent = store.get(RECENT, "u1", now).values["event_ids"]
    assert recent == [f"p{n:03}" for n in range(119, 119 - RECENT_PLAYS, -1)]
    assert store.get(SESSION, "u1", now).values["plays"] == 120
    later = [play("next", SESSION_US / 60e6 + 200)]
    totals.update(table(later), clock_of(later))
    assert len(totals._listeners["u1"].plays) == RECENT_PLAYS  # what no row can tell is let go


def test_a_store_that_is_away_does_not_lose_a_row(store, monkeypatch):
    totals = Totals(store)
    with monkeypatch.context() as away:
        away.setattr(type(store), "put", lambda *_: (_ for _ in ()).throw(StoreUnavailable("gone")))
        result = totals.update(table([play("a", 0)]), Clock(START))
        assert (result.rows, result.waiting) == (0, 1)
    result = totals.update(table([play("b", 1, user="u2")]), Clock(START + timedelta(minutes=1)))
    assert result.waiting == 0
    assert store.get(RECENT, "u1", START).values["event_ids"] == ["a"]


def test_the_clock_never_goes_back_and_a_repeated_batch_starts_from_the_same(tmp_path):
    log = ClockLog(storage_for(tmp_path), "_checkpoints/x")
    assert log.before(0).at is None
    first = log.before(0).advance(START)
    log.save(0, first)
    second = log.before(1).advance(START + timedelta(minutes=5))
    log.save(1, second)
    assert log.before(1) == first  # batch 1 again
    log.save(1, second)
    assert log.before(2) == log.latest() == second
    assert second.advance(START) == second
    assert second.watermark == START + timedelta(minutes=5) - second.delay


def test_late_events_are_counted_and_a_wrong_clock_does_not_move_ours():
    arrived = START + timedelta(minutes=60)
    events = [play("late", 0), play("in time", 50), play("ahead", 600)]
    good = table(events).append_column("landing_date", pa.array([START.date()] * 3))
    stats = BatchStats(1)
    when = pa.chunked_array([pa.array([arrived] * 3, pa.timestamp("us", "UTC"))])
    stats.count(good, when, Clock(START + timedelta(minutes=40)))
    assert (stats.good, stats.late, stats.landed) == (3, 1, (START.date(),))
    assert stats.clock.at == arrived
    assert Clock().watermark is None
