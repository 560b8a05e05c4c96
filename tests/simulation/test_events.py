"""What the world emits keeps the contract and adds up."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest

from lakehouse.catalogue import ENTITIES, decode_entity
from lakehouse.events import decode_event, encode_event


@pytest.fixture(scope="module")
def batches(world):
    return [(batch.date, list(batch)) for batch in world.events()]


@pytest.fixture(scope="module")
def events(batches):
    return [event for _, day in batches for event in day]


def test_every_event_keeps_the_contract(batches):
    for landed, day in batches:
        for event in day:
            assert decode_event(encode_event(event), landed) == event
            assert event.received_at.date() == landed
            assert event.received_at > event.occurred_at


def test_every_catalogue_row_keeps_the_contract(world):
    encode = msgspec.json.Encoder().encode
    entity_of = {cls: name for name, cls in ENTITIES.items()}
    counts = Counter()
    for entity in world.catalogue():
        name = entity_of[type(entity)]
        assert decode_entity(name, encode(entity)) == entity
        counts[name] += 1
    assert counts["artists"] == 285
    assert 1800 < counts["tracks"] < 2000  # the rest is released later
    assert 400 < counts["users"] < 500


def test_events_know_their_catalogue(world, events):
    known = {type(entity).__name__: set() for entity in world.catalogue()}
    released, joined = {}, {}
    for entity in world.catalogue():
        name = type(entity).__name__
        known[name].add(getattr(entity, f"{name.lower()}_id"))
        if name == "Track":
            released[entity.track_id] = entity.release_date
        elif name == "User":
            joined[entity.user_id] = entity.signed_up_at
    for event in events:
        assert event.occurred_at >= joined[event.user_id]
        track = getattr(event.payload, "track_id", None)
        assert track is None or released[track] <= event.occurred_at.date()


def test_a_skip_belongs_to_its_play(events):
    plays = {event.event_id: event for event in events if type(event).__name__ == "PlayEvent"}
    skips = [event for event in events if type(event).__name__ == "SkipEvent"]
    assert len(skips) > 1000
    for skip in skips:
        play = plays.get(skip.payload.play_event_id)
        if play is None:  # its play arrives after the end of the window
            continue
        assert play.payload.reason_end == "fwdbtn"
        assert play.payload.ms_played == skip.payload.position_ms
        assert skip.occurred_at == play.occurred_at + timedelta(milliseconds=skip.payload.position_ms)
        assert (skip.payload.track_id, skip.user_id) == (play.payload.track_id, play.user_id)
    assert sum(skip.payload.play_event_id in plays for skip in skips) > 0.99 * len(skips)


def test_plays_of_a_session_follow_one_another(events):
    sessions = {}
    for event in events:
        if type(event).__name__ == "PlayEvent":
            sessions.setdefault(event.session_id, {})[event.event_id] = event
    for unique in sessions.values():
        played = sorted(unique.values(), key=lambda event: event.occurred_at)
        assert len({event.user_id for event in played}) == 1
        for before, after in pairwise(played):
            assert before.occurred_at + timedelta(milliseconds=before.payload.ms_played) <= after.occurred_at
        for play in played:
            assert 0 < play.payload.ms_played <= play.payload.duration_ms


def test_some_events_are_late_and_some_come_twice(events):
    ids = Counter(event.event_id for event in events)
    twice = [event_id for event_id, count in ids.items() if count > 1]
    assert max(ids.values()) == 2
    assert 0.001 < len(twice) / len(ids) < 0.006
    late = [event for event in events if event.received_at - event.occurred_at > timedelta(hours=2)]
    assert 0.01 < len(late) / len(events) < 0.06
    assert max(event.received_at - event.occurred_at for event in events) < timedelta(days=3)
    assert {event.context.network for event in late} == {"offline"}


def test_nothing_of_the_truth_leaks(events):
    names = {field for event in events[:2000] for field in msgspec.to_builtins(event.payload)}
    assert names <= {
        "track_id", "ms_played", "duration_ms", "reason_start", "reason_end", "play_event_id", "position_ms",
        "playlist_id", "query", "results", "from_plan", "to_plan",
    }  # fmt: skip
