"""Bronze to silver: listens, feedback, sessions, catalogue."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from raw_zone import DAY, raw_event

from lakehouse.lake import Lake
from lakehouse.parse import pseudonymiser
from lakehouse.refine import catalogue as refine_catalogue
from lakehouse.refine import events as refine_events
from lakehouse.refine.sessions import sessions
from lakehouse.tables.silver import ARTISTS, FEEDBACK, LISTENS, SESSIONS, TRACKS, USERS

NEXT = DAY + timedelta(1)
ALL = (DAY, DAY + timedelta(9))


def listens(events, days):
    """The listens that what landed in ``days`` makes, by Spark: ``events`` is a frame."""
    return Lake(events.sparkSession).frame(refine_events.listens(days).over(events))


def play(id_: str, at: str = "12:00:00", **payload) -> dict:
    fields = {name: payload.pop(name) for name in ("day", "user_id", "context", "clock", "device") if name in payload}
    return raw_event("play", event_id=id_, at=at, payload={"track_id": "t1", **payload}, **fields)


def skip(of: str, position_ms: int | None = 5000, at: str = "12:00:10", day: date = DAY) -> dict:
    payload = {"track_id": "t1", "play_event_id": of, "position_ms": position_ms}
    return raw_event("skip", event_id=f"skip-{of}-{at}", at=at, day=day, payload=payload)


def listens_of(frame, lines, days=ALL) -> dict[str, dict]:
    return {row.event_id: row.asDict() for row in listens(frame(lines), days).collect()}


def test_how_a_play_ended(frame):
    rows = listens_of(
        frame,
        [
            play("done", ms_played=200_000, duration_ms=200_000, reason_end="trackdone"),
            play("button", ms_played=20_000, duration_ms=200_000, reason_end="fwdbtn"),
            play("unknown"),
            play("skipped", duration_ms=100_000),
            skip("skipped", 25_000),
            play("both", ms_played=30_000, duration_ms=60_000, reason_end="endplay"),
            skip("both", 10_000),
            play("longer", ms_played=90_000, duration_ms=60_000),
            play("no length", ms_played=10, duration_ms=0),
        ],
    )
    found = {name: (row["skipped"], row["ms_played"], row["completion"]) for name, row in rows.items()}
    assert found == {
        "done": (False, 200_000, 1.0),
        "button": (True, 20_000, 0.1),
        "unknown": (None, None, None),
        "skipped": (True, 25_000, 0.25),
        "both": (True, 30_000, 0.5),  # what the play says of itself comes first
        "longer": (None, 90_000, 1.0),
        "no length": (None, 10, None),
    }


def test_a_skip_that_lands_later_brings_its_play_out_again(frame):
    lines = {DAY: [play("a"), play("b")], NEXT: [skip("a", day=NEXT)]}
    first = listens_of(frame, {DAY: lines[DAY]}, (DAY, DAY))
    second = listens_of(frame, lines, (NEXT, NEXT))
    assert {name: row["skipped"] for name, row in first.items()} == {"a": None, "b": None}
    assert {name: row["skipped"] for name, row in second.items()} == {"a": True}
    assert second["a"]["received_at"] > first["a"]["received_at"]


def test_a_play_that_lands_after_its_skip_finds_it(frame):
    lines = {DAY: [skip("a")], NEXT: [play("a", at="11:59:00")]}
    assert listens_of(frame, {DAY: lines[DAY]}, (DAY, DAY)) == {}
    assert listens_of(frame, lines, (NEXT, NEXT))["a"]["skipped"] is True


@pytest.mark.parametrize("order", [1, -1])
def test_whatever_lands_first_the_table_is_the_same(frame, lake, order):
    days = [{DAY: [play("a"), play("b")]}, {NEXT: [skip("a", day=NEXT), play("b")]}][::order]
    landed: dict = {}
    for some in days:
        landed |= some
        (day,) = some
        lake.write(LISTENS, refine_events.listens((day, day)).over(frame(landed)))
    rows = {r.event_id: r.skipped for r in lake.read(LISTENS).collect()}
    assert rows == {"a": True, "b": None}


def test_a_play_sent_twice_and_skipped_twice_is_one_listen(frame, lake):
    twice = [
        play("a"),
        {**play("a"), "received_at": f"{DAY}T13:00:00Z"},
        skip("a", 9000),
        skip("a", 7000, at="12:00:20"),
    ]
    lake.write(LISTENS, refine_events.listens(ALL).over(frame(twice)))
    (row,) = lake.read(LISTENS).collect()
    assert (row.skipped, row.ms_played, row.received_at) == (True, 7000, datetime(2026, 1, 5, 13))


@pytest.mark.parametrize("order", [1, -1])
def test_a_play_sent_again_with_a_corrected_day_is_one_listen(frame, lake, order):
    """The clock of the device was a day ahead; the correction landed first, or last."""
    wrong = {**play("a", day=NEXT), "received_at": f"{DAY}T12:00:00Z"}
    right = {**play("a"), "received_at": f"{NEXT}T08:00:00Z"}
    landed: dict = {}
    for day, line in [(DAY, wrong), (NEXT, right)][::order]:
        landed[day] = [line]
        lake.write(LISTENS, refine_events.listens((day, day)).over(frame(landed)))
    assert [(row.event_id, row.event_date) for row in lake.read(LISTENS).collect()] == [("a", DAY)]


@pytest.mark.parametrize("order", [1, -1])
def test_versions_and_skips_that_bear_one_time_end_the_same(frame, lake, order):
    """The skip is received before the second version of its play is, and with the same time as the first."""
    first = {**play("a", ms_played=10), "received_at": f"{DAY}T12:00:01Z"}
    ended = {**skip("a", 5000), "received_at": f"{DAY}T12:00:01Z"}
    second = {**play("a", ms_played=20), "received_at": f"{DAY}T12:00:00Z"}
    landed: list = []
    for some in [[first], [second], [ended]][::order]:
        landed += some
        for events in (landed, [play("other")]):
            lake.write(LISTENS, refine_events.listens(ALL).over(frame(events)))
    rows = {row.event_id: (row.ms_played, row.skipped) for row in lake.read(LISTENS).collect()}
    assert rows == {"a": (10, True), "other": (None, None)}


def test_a_play_that_lands_late_finds_the_skip_of_a_later_day(frame):
    """The dump of the first day comes in after that of the second."""
    lines = {DAY: [play("a")], NEXT: [skip("a", day=NEXT)]}
    assert listens_of(frame, lines, (DAY, DAY))["a"]["skipped"] is True


def test_time_at_the_listeners_place(frame):
    rows = listens_of(
        frame,
        [
            play("utc", "23:30:00"),
            play("east", "23:30:00", context={"utc_offset_min": 345}),
            play("west", "00:30:00", context={"utc_offset_min": -60}),
            play("order only", "23:30:00", clock="synthetic", context={"utc_offset_min": 60}),
        ],
    )
    found = {name: (row["local_hour"], row["local_weekday"]) for name, row in rows.items()}
    assert found == {"utc": (23, 1), "east": (5, 2), "west": (23, 7), "order only": (None, None)}
    assert {row["event_date"] for row in rows.values()} == {DAY}
    assert {row["device_type"] for row in rows.values()} == {None}  # "unknown" says nothing


def test_explicit_acts(frame, lake):
    kinds = ["like", "unlike", "playlist_add", "playlist_remove", "play", "search"]
    events = [raw_event(kind, event_id=kind) for kind in kinds]
    lake.write(FEEDBACK, refine_events.feedback(ALL).over(frame(events)))
    rows = {row.event_id: (row.action, row.track_id, row.playlist_id) for row in lake.read(FEEDBACK).collect()}
    assert rows == {kind: (kind, "t1", "p1" if "playlist" in kind else None) for kind in kinds[:4]}


# ---------------------------------------------------------------------- sessions
def test_thirty_minutes_from_the_end_of_a_play_end_a_session(frame, lake):
    minute = 60_000
    events = [
        play("a1", "10:00:00", ms_played=10 * minute, device={"type": "car"}),
        play("a2", "10:40:00", ms_played=minute, reason_end="fwdbtn"),  # exactly 30 minutes after the end of a1
        play("b1", "11:11:01"),  # a second more
        play("b2", "11:11:02", track_id="t2"),
        play("other", "10:00:00", user_id="u2"),
    ]
    lake.write(SESSIONS, sessions(listens(frame(events), ALL)))
    rows = sorted(lake.read(SESSIONS).collect(), key=lambda row: (row.user_key != key_of("u1"), row.started_at))
    found = [(r.plays, r.skips, r.distinct_tracks, r.ms_played, r.device_type, f"{r.ended_at:%H:%M:%S}") for r in rows]
    assert found == [
        (2, 1, 1, 11 * minute, "car", "10:41:00"),
        (2, 0, 2, None, None, "11:11:02"),
        (1, 0, 1, None, None, "10:00:00"),
    ]
    assert rows[0].session_key == f"{key_of('u1')}@20260105T100000.000"
    assert len({row.session_key for row in rows}) == 3


def test_a_long_play_keeps_the_session_open_behind_short_ones(frame):
    hour = 3_600_000
    events = [
        play("long", "10:00:00", ms_played=hour),
        play("short", "10:01:00", ms_played=1000),
        play("next", "11:20:00"),
    ]
    assert sessions(listens(frame(events), ALL)).count() == 1


def key_of(user: str) -> str:
    return pseudonymiser(b"test")(user)


# ---------------------------------------------------------------------- catalogue
def test_the_latest_dump_of_a_track_wins_and_unknown_tracks_are_kept(frame, lake):
    dumps = frame(
        {
            NEXT: [{"track_id": "t1", "title": "New", "artist_id": "a1", "acoustic": {"energy": 0.5, "key": 3}}],
            DAY: [
                {"track_id": "t1", "title": "Old", "genre": "gone with the next dump"},
                {"track_id": "t2", "title": "First line"},
                {"track_id": "t2", "title": "Last line", "release_date": "1969-09-26"},
            ],
        },
        "tracks",
    )
    plays = listens(frame([play("a", track_id="t2"), play("b", track_id="nowhere")]), ALL)
    lake.write(TRACKS, refine_catalogue.tracks(dumps, plays))
    rows = {row.track_id: row for row in lake.read(TRACKS).collect()}
    assert {name: (row.title, row.in_catalogue) for name, row in rows.items()} == {
        "t1": ("New", True),
        "t2": ("Last line", True),
        "nowhere": (None, False),
    }
    assert (rows["t1"].genre, rows["t1"].energy, rows["t1"].key) == (None, 0.5, 3)
    assert rows["t2"].release_date == date(1969, 9, 26)


def test_artists_come_from_dumps_and_from_their_tracks(frame, lake, spark):
    dumps = frame(
        [{"artist_id": "a1", "name": "One", "country": "SE"}, {"artist_id": "silent", "name": "Silent"}], "artists"
    )
    tracks = spark.createDataFrame(
        [
            ("t1", "a1", "one", "pop"),
            ("t2", "a2", "Two", "jazz"),
            ("t3", "a2", "Two", "jazz"),
            ("t4", None, None, "pop"),
        ],
        "track_id string, artist_id string, artist_name string, genre string",
    )
    lake.write(ARTISTS, refine_catalogue.artists(dumps, tracks))
    rows = {r.artist_id: (r.name, r.genre, r.country, r.tracks) for r in lake.read(ARTISTS).collect()}
    assert rows == {
        "a1": ("One", "pop", "SE", 1),
        "a2": ("Two", "jazz", None, 2),
        "silent": ("Silent", None, None, 0),
    }


def test_listeners_with_and_without_a_profile(frame, lake):
    dumps = frame(
        {
            DAY: [{"user_id": "u1", "plan": "free", "signed_up_at": "2025-12-31T23:00:00-02:00", "birth_year": 1990}],
            NEXT: [{"user_id": "u1", "plan": "family", "signed_up_at": "2025-12-31T23:00:00-02:00"}],
        },
        "users",
    )
    plays = listens(frame([play("a"), play("b", user_id="stranger")]), ALL)
    lake.write(USERS, refine_catalogue.users(dumps, plays))
    rows = {row.user_key: (row.plan, row.birth_year, row.has_profile) for row in lake.read(USERS).collect()}
    assert rows == {key_of("u1"): ("family", None, True), key_of("stranger"): (None, None, False)}
    (known,) = lake.read(USERS).where("has_profile").collect()
    assert known.signed_up_at == datetime(2026, 1, 1, 1)
