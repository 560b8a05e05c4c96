"""Rows of stored memories: brought up to date session by session, they are what all sessions at once give."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_worlds import HOUR, MINUTE, START

from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.folding import ended
from models.recommend.sequence.memory_table import SCHEMA, Space, changed_rows, newest_play, read_rows, updated
from models.vocabulary import Vocabulary

TRACKS = 12
NOW = datetime(2026, 1, 5, tzinfo=UTC)


def space(name: str = "v1", **settings) -> Space:
    vectors = np.random.default_rng(0).normal(size=(TRACKS, 4)).astype(np.float32)
    return Space(name, Vocabulary(f"t{i}" for i in range(TRACKS)), vectors, SequenceConfig(dim=4, **settings))


@st.composite
def listening(draw):
    """Plays of one listener with pauses of minutes and of hours, or without a clock, and points at which to update."""
    pauses = draw(st.lists(st.sampled_from([1, 3, 29, 30, 31, 90, 600]), min_size=1, max_size=25))
    items = draw(st.lists(st.integers(0, TRACKS - 1), min_size=len(pauses), max_size=len(pauses)))
    stops = draw(st.lists(st.integers(0, len(pauses)), max_size=6))
    times = START + np.cumsum(pauses) * MINUTE if draw(st.booleans()) else None
    return np.asarray(items, np.int64), times, sorted(stops), draw(st.floats(0.0, 0.95))


def same(one, other) -> None:
    assert (one is None) == (other is None)
    if one is None:
        return
    np.testing.assert_array_equal(one.memory.vector, other.memory.vector)
    assert replace(one, memory=None) == replace(other, memory=None)
    assert (one.memory.sessions, one.memory.as_of) == (other.memory.sessions, other.memory.as_of)


@settings(max_examples=200, deadline=None)
@given(case=listening())
def test_updates_session_by_session_give_the_bits_of_a_whole_rebuild(case):
    items, times, stops, decay = case
    here, row = space(memory_decay=decay, slow_memory_decay=0.9, session_plays=3), None
    for n in [*stops, len(items)]:
        known = None if times is None else times[:n]
        now = -1 if times is None else int(times[:n].max(initial=0)) + 31 * MINUTE
        row = updated(row, items[:n], known, now, here)
        same(row, updated(None, items[:n], known, now, here))


@settings(max_examples=100, deadline=None)
@given(case=listening(), late=st.integers(0, 24), track=st.integers(0, TRACKS - 1))
def test_a_play_that_arrives_late_is_taken_in(case, late, track):
    items, times, _, decay = case
    here, at = space(memory_decay=decay, session_plays=3), min(late, len(items))
    now = -1 if times is None else int(times[-1]) + 31 * MINUTE
    row = updated(None, items, times, now, here)
    more = np.insert(items, at, track)
    moments = None if times is None else np.insert(times, at, times[at - 1] + 1 if at else times[0] - MINUTE)
    same(updated(row, more, moments, now, here), updated(None, more, moments, now, here))


def test_a_session_counts_when_it_has_ended():
    config, times = SequenceConfig(session_plays=2), START + np.array([0, 5, 60, 62]) * MINUTE
    assert ended(4, times, int(times[-1]) + 30 * MINUTE, config) == [(0, 2)]
    assert ended(4, times, int(times[-1]) + 31 * MINUTE, config) == [(0, 2), (2, 4)]
    assert ended(4, times, -1, config) == [(0, 2)]
    assert ended(3, None, -1, config) == [(0, 2)]
    assert ended(4, None, -1, config) == [(0, 2), (2, 4)]
    assert ended(0, times[:0], START, config) == ended(0, None, -1, config) == []


def test_the_average_is_of_sessions_with_the_latest_weighing_most():
    here = space(memory_decay=0.5)
    times = START + np.array([0, 1, 120, 240]) * MINUTE
    row = updated(None, np.array([0, 1, 2, 3]), times, int(times[-1]) + HOUR, here)
    v = here.vectors
    np.testing.assert_allclose(row.memory.vector, 0.125 * (v[0] + v[1]) / 2 + 0.25 * v[2] + 0.5 * v[3], rtol=1e-5)
    assert (row.memory.sessions, row.last_session, row.plays, row.memory.as_of) == (3, 2, 4, times[-1])


def sequences(clock: str = "event", **listeners) -> pa.RecordBatch:
    """user=[(track, minutes), …] as gold.sequences has it."""
    at = datetime(2026, 1, 4, tzinfo=UTC)
    rows = [
        {"user_key": user, "track_ids": [t for t, _ in plays], "clock": clock,
         "occurred_at": [at + timedelta(minutes=m) for _, m in plays]}
        for user, plays in listeners.items()
    ]  # fmt: skip
    kinds = [("user_key", pa.string()), ("track_ids", pa.list_(pa.string())), ("clock", pa.string())]
    return pa.RecordBatch.from_pylist(
        rows, schema=pa.schema([*kinds, ("occurred_at", pa.list_(pa.timestamp("us", "UTC")))])
    )


def test_only_listeners_whose_session_has_ended_since_get_a_row():
    here = space()
    first = sequences(ann=[("t1", 0), ("t2", 5)], ben=[("t3", 50)], eve=[("unheard of", 0)])
    now = newest_play([first])
    [made] = changed_rows([first], {}, now, here, NOW)
    assert made.schema == SCHEMA
    assert made.column("user_key").to_pylist() == ["ann"], "ben's session goes on; eve's has no track that is known"
    stored = read_rows([made], here)
    assert list(changed_rows([first], stored, now, here, NOW)) == []
    later = sequences(ann=[("t1", 0), ("t2", 5)], ben=[("t3", 50), ("t4", 100)], eve=[("t1", 101)])
    [made] = changed_rows([later], stored, newest_play([later]), here, NOW)
    assert made.column("user_key").to_pylist() == ["ben"]
    assert made.to_pylist()[0]["as_of"] == datetime(2026, 1, 4, 0, 50, tzinfo=UTC)


def test_rows_come_back_from_the_table_as_they_were():
    here, batch = space(), sequences(ann=[("t1", 0), ("t2", 5), ("t2", 120)], ben=[("t3", 200)])
    [made] = changed_rows([batch], {}, newest_play([batch]), here, NOW)
    row = read_rows([made], here)["ann"]
    times = np.array([0, 5, 120]) * MINUTE + round(datetime(2026, 1, 4, tzinfo=UTC).timestamp() * 1000)
    same(row, updated(None, np.array([1, 2, 2]), times, int(times[-1]) + HOUR, here))


def test_a_row_of_another_space_is_not_built_upon():
    old, new = space("v1"), space("v2")
    batch = sequences(ann=[("t1", 0)], ben=[("t3", 200)])
    [made] = changed_rows([batch], {}, newest_play([batch]), old, NOW)
    assert read_rows([made], new) == {}
    items, times = np.array([1]), np.array([START])
    row = updated(None, items, times, START + HOUR, old)
    assert updated(row, items, times, START + HOUR, new).memory.version == "v2"


def test_without_a_clock_sessions_are_counted_in_plays():
    here, batch = space(session_plays=2), sequences("synthetic", ann=[("t1", 0), ("t2", 0), ("t3", 0)])
    assert newest_play([batch]) == -1
    [made] = changed_rows([batch], {}, -1, here, NOW)
    [row] = made.to_pylist()
    assert (row["sessions"], row["plays"], row["as_of"]) == (1, 2, None)


def test_vectors_and_tracks_must_fit():
    with pytest.raises(ValueError, match="3 vectors for 2 tracks"):
        Space("v", Vocabulary(["a", "b"]), np.zeros((3, 4), np.float32), SequenceConfig(dim=4))
