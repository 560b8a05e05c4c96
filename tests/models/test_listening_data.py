from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from context_world import sequence_batch_with_context, user_batch
from listening_world import sequence_batch, track_batch

from models.data import OF_PLAYS, UNKNOWN, ListeningData
from models.vocabulary import Vocabulary, tie_order


def test_plays_come_back_in_order_and_as_raw_ids():
    batch = sequence_batch(users=5)
    data = ListeningData.from_batches([batch], [track_batch()])
    assert data.users.tolist() == batch.column("user_key").to_pylist()
    assert data.histories() == batch.column("track_ids").to_pylist()
    assert data.clock == "event"
    assert data.context_fields.decode(data.context)["device"] == sum(batch.column("devices").to_pylist(), [])
    assert data.of_context("hour").tolist() == sum(batch.column("local_hours").to_pylist(), [])
    times = [int(t.timestamp() * 1000) for t in sum(batch.column("occurred_at").to_pylist(), [])]
    assert data.times.tolist() == times


def test_many_small_batches_give_the_same_as_one():
    batch = sequence_batch(users=9)
    whole = ListeningData.from_batches([batch], [track_batch()])
    tracks = track_batch()
    parts = ListeningData.from_batches(
        (batch.slice(i, 2) for i in range(0, 9, 2)), (tracks.slice(i, 50) for i in range(0, len(tracks), 50))
    )
    for name in ("users", "offsets", "items", "times", "sessions", "completion", "skipped", "liked", "added"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name), err_msg=name)
    named = [d.context_fields.decode(d.context) for d in (whole, parts)]
    assert named[0] == named[1]
    np.testing.assert_array_equal(whole.catalogue.artist, parts.catalogue.artist)


def test_plays_of_unknown_tracks_are_left_out_and_counted():
    rows = [{"user_key": "a", "track_ids": ["track-1", "gone", "track-2"], "clock": "synthetic"}]
    rows += [{"user_key": "b", "track_ids": ["gone"], "clock": "synthetic"}]
    data = ListeningData.from_batches([pa.RecordBatch.from_pylist(rows)], [track_batch()])
    assert data.unknown_plays == 2
    assert data.users.tolist() == ["a"]
    assert data.histories() == [["track-1", "track-2"]]


def test_a_synthetic_clock_tells_neither_times_nor_hours():
    data = ListeningData.from_batches([sequence_batch(users=3, clock="synthetic")], [track_batch()])
    assert data.clock == "synthetic"
    assert data.times is None
    for field in ("hour", "weekday", "month"):
        assert (data.of_context(field) == UNKNOWN).all()
    assert (data.sessions == UNKNOWN).all()
    assert (data.of_context("device") >= 0).all(), "what a clock does not tell is still known"


def test_missing_attributes_are_unknown():
    catalogue = ListeningData.from_batches([sequence_batch(users=3)], [track_batch(attributes=False)]).catalogue
    assert (catalogue.artist == UNKNOWN).all()
    assert np.isnan(catalogue.acoustic).all()
    assert (catalogue.n_artists, catalogue.n_albums, catalogue.n_genres) == (0, 0, 0)


def test_lists_of_unequal_length_are_refused():
    rows = [{"user_key": "a", "track_ids": ["track-1", "track-2"], "local_hours": [3], "clock": "event"}]
    with pytest.raises(ValueError, match="local_hours has 1 values for 2 plays"):
        ListeningData.from_batches([pa.RecordBatch.from_pylist(rows)], [track_batch()])


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="gold.sequences: column 'track_ids' is missing"):
        ListeningData.from_batches([pa.RecordBatch.from_pylist([{"user_key": "a"}])], [track_batch()])


def test_empty_tables_say_what_to_do():
    with pytest.raises(ValueError, match="gold.track_features holds no track"):
        ListeningData.from_batches([], [])
    with pytest.raises(ValueError, match="gold.sequences holds no user"):
        ListeningData.from_batches([], [track_batch()])


def test_keep_leaves_users_and_catalogue_as_they_are(data):
    mask = np.arange(data.n_plays) % 2 == 0
    kept = data.keep(mask)
    assert kept.n_users == data.n_users
    assert kept.items.tolist() == data.items[mask].tolist()
    user = 7
    own = data.user_of_play == user
    assert kept.history(user).tolist() == data.items[mask & own].tolist()


def test_listeners_count_each_user_once(data):
    track = int(data.items[0])
    users = {u for u in range(data.n_users) if track in data.history(u)}
    assert data.listeners[track] == len(users)


def test_vocabulary_refuses_duplicates():
    with pytest.raises(ValueError, match="'a' is listed twice"):
        Vocabulary(["a", "b", "a"])


def test_tie_order_does_not_depend_on_the_order_of_ids():
    ids = [f"track-{i}" for i in range(50)]
    forwards, backwards = tie_order(ids), tie_order(ids[::-1])[::-1]
    np.testing.assert_array_equal(forwards, backwards)
    assert sorted(forwards) == list(range(50))
    assert forwards.tolist() != list(range(50))


def test_context_outcomes_and_profiles_come_with_the_plays():
    batch = sequence_batch_with_context(users=4)
    data = ListeningData.from_batches([batch.slice(0, 1), batch.slice(1)], [track_batch()], [user_batch()])
    rows = {name: sum(batch.column(name).to_pylist(), []) for name in batch.schema.names if name.endswith("s")}
    raw = data.context_fields.decode(data.context)
    assert (raw["activity"], raw["network"]) == (rows["activities"], rows["networks"])
    assert (raw["country"], raw["weather"]) == (rows["countries"], rows["weathers"])
    assert raw["weekday"] == rows["local_weekdays"]
    assert set(raw["month"]) == {1}
    degrees = sum(batch.column("temperatures_c").to_pylist(), [])
    assert raw["temperature"] == [t if t is None else ("below 0", "0 to 10", "10 to 20", "20 to 30")[int(t // 10) + 1]
                                  for t in degrees]  # fmt: skip
    assert data.sessions.tolist() == rows["sessions"]
    completions = [None if np.isnan(c) else c for c in data.completion.tolist()]
    assert completions == rows["completions"]
    skipped = sum(batch.column("skipped").to_pylist(), [])
    assert data.skipped.tolist() == [UNKNOWN if s is None else int(s) for s in skipped]
    assert set(data.liked) == {0, 1}
    assert set(data.added) == {UNKNOWN}
    profiles = data.profile_fields.decode(data.profiles)
    assert profiles["country"] == ["US", None, "SE", None]
    assert profiles["birth_year"] == [None, None, "1990 to 1994", None]
    kept = data.keep(np.arange(data.n_plays) % 3 == 0)
    assert kept.sessions.tolist() == rows["sessions"][::3]
    assert (kept.context == data.context[::3]).all()
    assert kept.profiles is data.profiles


def test_a_play_takes_some_tens_of_bytes():
    data = ListeningData.from_batches([sequence_batch_with_context()], [track_batch()])
    assert sum(getattr(data, name).nbytes for name in OF_PLAYS) <= 45 * data.n_plays


def test_columns_that_are_missing_are_unknown_and_arrays_must_fit(data):
    bare = ListeningData(data.users, data.catalogue, data.offsets, data.items)
    assert (bare.context == UNKNOWN).all()
    assert (bare.sessions == UNKNOWN).all()
    assert np.isnan(bare.completion).all()
    assert bare.keep(bare.items > 3).liked.tolist() == [UNKNOWN] * int((bare.items > 3).sum())
    with pytest.raises(ValueError, match="times has 3 values for"):
        ListeningData(data.users, data.catalogue, data.offsets, data.items, times=np.arange(3))
    with pytest.raises(ValueError, match="no field is called 'mood'"):
        data.of_context("mood")
