"""Silver to gold: what listeners did, and summaries of listeners and tracks."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from lakehouse.gold.behaviour import interactions, sequences
from lakehouse.gold.features import track_features, user_features
from lakehouse.tables.gold import INTERACTIONS, SEQUENCES, TRACK_FEATURES, USER_FEATURES
from lakehouse.tables.silver import FEEDBACK, LISTENS, SESSIONS, TRACKS

NOON = datetime(2026, 1, 5, 12)


@pytest.fixture
def make(spark):
    """make(contract, {column: value}, ...) -> a frame with all columns of the contract; the rest is null."""

    def build(table, *rows: dict):
        return spark.createDataFrame([tuple(row.get(c.name) for c in table.columns) for row in rows], table.ddl())

    return build


def listen(id_: str, user: str = "u", track: str = "t", minutes: float = 0, **fields) -> dict:
    at = NOON + timedelta(minutes=minutes)
    row = {"event_id": id_, "user_key": user, "track_id": track, "occurred_at": at, "received_at": at}
    return {**row, "event_date": at.date(), "clock": "event", **fields}


def act(id_: str, action: str, minutes: float = 0, user: str = "u", track: str = "t") -> dict:
    at = NOON + timedelta(minutes=minutes)
    row = {"event_id": id_, "action": action, "user_key": user, "track_id": track, "occurred_at": at}
    return {**row, "event_date": at.date(), "received_at": at}


def test_the_last_like_or_unlike_counts(make, lake):
    acts = [
        act("1", "like", 1), act("2", "unlike", 2),
        act("3", "unlike", 1, track="again"), act("4", "like", 2, track="again"),
        act("b", "unlike", 1, track="tie"), act("a", "like", 1, track="tie"),
        act("5", "playlist_add", 0, track="listed"), act("6", "playlist_add", 1, track="listed"),
        act("7", "playlist_remove", 2, track="listed"), act("8", "playlist_remove", 3, track="removed"),
    ]  # fmt: skip
    plays = [
        listen("p1", completion=0.5, skipped=True),
        listen("p2", minutes=5, completion=1.0),
        listen("p3", minutes=9),
    ]
    lake.write(INTERACTIONS, interactions(make(LISTENS, *plays), make(FEEDBACK, *acts)))
    rows = {row.track_id: row for row in lake.read(INTERACTIONS).collect()}
    found = {name: (row.liked, row.playlist_adds, row.plays) for name, row in rows.items()}
    assert found == {
        "t": (False, 0, 3),
        "again": (True, 0, 0),
        "tie": (False, 0, 0),  # the larger event id, so that the order of rows does not matter
        "listed": (False, 1, 0),
        "removed": (False, 0, 0),
    }
    heard = rows["t"]
    assert (heard.skips, heard.completion) == (1, 0.75)
    assert (heard.first_at, heard.last_at) == (NOON, NOON + timedelta(minutes=9))
    assert rows["listed"].completion is None


def test_sequences_are_in_order_of_time_and_ties_in_order_of_ids(make, lake):
    plays = [
        listen("c", track="third", minutes=1, local_hour=12, device_type="car"),
        listen("b", track="second"),
        listen("a", track="first", local_hour=11),
        listen("d", track="first", minutes=2, clock="synthetic"),
        listen("x", user="v", track="other"),
    ]
    lake.write(SEQUENCES, sequences(make(LISTENS, *plays), make(FEEDBACK)))
    rows = {row.user_key: row for row in lake.read(SEQUENCES).collect()}
    assert rows["u"].track_ids == ["first", "second", "third", "first"]
    assert rows["u"].local_hours == [11, None, 12, None]
    assert rows["u"].devices == [None, None, "car", None]
    assert (rows["u"].plays, rows["u"].clock, rows["v"].clock) == (4, "synthetic", "event")
    assert rows["u"].occurred_at[0] == NOON


def test_sequences_carry_the_context_and_the_session_of_every_play(make, lake):
    context = {"activity": "work", "network": "wifi", "country": "SE", "weather": "rain", "temperature_c": 4.5}
    plays = [
        listen("a", ms_played=600_000, local_weekday=1, completion=0.5, skipped=True, **context),
        listen("b", minutes=39, local_weekday=1, skipped=False),  # 29 minutes after the end of the first
        listen("c", minutes=70),
        listen("d", user="v", clock="synthetic"),
    ]
    lake.write(SEQUENCES, sequences(make(LISTENS, *plays), make(FEEDBACK)))
    rows = {row.user_key: row.asDict() for row in lake.read(SEQUENCES).collect()}
    u = rows["u"]
    assert u["sessions"] == [0, 0, 1]
    assert u["local_weekdays"] == [1, 1, None]
    assert (u["activities"], u["networks"]) == (["work", None, None], ["wifi", None, None])
    assert (u["countries"], u["weathers"]) == (["SE", None, None], ["rain", None, None])
    assert (u["temperatures_c"], u["completions"]) == ([4.5, None, None], [0.5, None, None])
    assert u["skipped"] == [True, False, None]
    assert u["liked"] == u["added"] == [None] * 3, "nobody ever liked a thing: the sources do not say"
    assert rows["v"]["sessions"] == rows["v"]["liked"] == [None]


def test_a_like_answers_the_latest_play_of_the_track_within_a_day(make, lake):
    day = 24 * 60
    plays = [
        listen("1"), listen("2", track="other", minutes=3), listen("3", minutes=6), listen("4", minutes=3 * day),
        listen("5", user="v"),
        listen("6", user="w", clock="synthetic"),
    ]  # fmt: skip
    acts = [
        act("a", "like", 6),  # at the very start of the second play of t
        act("b", "playlist_add", 5.9), act("c", "unlike", 4), act("d", "like", 4, user="v", track="other"),
        act("e", "like", 4 * day), act("f", "playlist_add", 4 * day - 0.1), act("g", "like", -1, user="v"),
        act("h", "like", 1, user="nobody"), act("i", "like", 1, user="w"),
    ]  # fmt: skip
    frame = sequences(make(LISTENS, *plays), make(FEEDBACK, *acts))
    lake.write(SEQUENCES, frame)
    rows = {row.user_key: row for row in lake.read(SEQUENCES).collect()}
    assert set(rows) == {"u", "v", "w"}
    assert rows["u"].liked == [False, False, True, False], "a day after the last play is too late"
    assert rows["u"].added == [True, False, False, True]
    assert (rows["v"].liked, rows["v"].added) == ([False], [False])
    assert rows["w"].liked == [None], "without a clock nothing is known to come after"


def test_sequences_shuffle_once(make):
    frame = sequences(make(LISTENS, listen("1")), make(FEEDBACK, act("a", "like")))
    plan = frame._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange hashpartitioning") == 1
    assert "Join" not in plan


def test_features_of_a_listener(make, lake):
    plays = [
        listen("1", track="a", skipped=True, completion=0.2, device_type="tv"),
        listen("2", track="a", minutes=1, skipped=False, completion=1.0, device_type="tv"),
        listen("3", track="b", minutes=2, device_type="car"),
        listen("4", track="a", minutes=3),
        listen("5", user="v", track="unknown"),
    ]
    tracks = make(
        TRACKS,
        {"track_id": "a", "artist_id": "A", "genre": "pop", "in_catalogue": True},
        {"track_id": "b", "artist_id": "B", "genre": "jazz", "in_catalogue": True},
    )
    session = {"session_key": "s", "user_key": "u", "started_at": NOON, "ended_at": NOON, "plays": 4, "skips": 0}
    marks = make(SESSIONS, {**session, "distinct_tracks": 2, "clock": "event"})
    acts = make(FEEDBACK, act("l", "like"), act("m", "unlike"), act("n", "like", user="nobody"))
    lake.write(USER_FEATURES, user_features(make(LISTENS, *plays), acts, marks, tracks))
    rows = {row.user_key: row for row in lake.read(USER_FEATURES).collect()}
    assert set(rows) == {"u", "v"}
    u, v = rows["u"], rows["v"]
    assert (u.plays, u.distinct_tracks, u.distinct_artists, u.sessions, u.likes) == (4, 2, 2, 1, 1)
    assert (u.repeat_rate, u.skip_rate, u.completion) == (0.5, 0.5, 0.6)
    assert (u.top_artist_id, u.top_genre, u.main_device) == ("A", "pop", "tv")
    assert (v.repeat_rate, v.distinct_artists, v.sessions, v.likes, v.top_genre) == (0.0, 0, 0, 0, None)


def test_features_of_a_track(make, lake):
    day = 24 * 60
    plays = [
        listen("new", minutes=0, skipped=True),
        listen("within", user="v", minutes=-7 * day + 1, skipped=False),
        listen("edge", minutes=-7 * day),
        listen("old", minutes=-30 * day),
    ]
    tracks = make(TRACKS, {"track_id": "t", "in_catalogue": True}, {"track_id": "unheard", "in_catalogue": True})
    acts = make(FEEDBACK, act("1", "like"), act("2", "like", user="v"), act("3", "playlist_add"))
    lake.write(TRACK_FEATURES, track_features(make(LISTENS, *plays), acts, tracks))
    rows = {row.track_id: row for row in lake.read(TRACK_FEATURES).collect()}
    t, unheard = rows["t"], rows["unheard"]
    assert (t.plays, t.listeners, t.likes, t.plays_last_7d, t.skip_rate) == (4, 2, 2, 2, 0.5)
    assert (t.first_seen, t.last_seen) == (NOON - timedelta(days=30), NOON)
    assert (unheard.plays, unheard.listeners, unheard.likes, unheard.plays_last_7d) == (0, 0, 0, 0)
    assert unheard.first_seen is None
