from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from listening_world import sequence_batch, track_batch

from models.data import UNKNOWN, ListeningData
from models.vocabulary import Vocabulary, tie_order


def test_plays_come_back_in_order_and_as_raw_ids():
    batch = sequence_batch(users=5)
    data = ListeningData.from_batches([batch], [track_batch()])
    assert data.users.tolist() == batch.column("user_key").to_pylist()
    assert data.histories() == batch.column("track_ids").to_pylist()
    assert data.clock == "event"
    assert [data.device_names[d] for d in data.devices] == sum(batch.column("devices").to_pylist(), [])
    assert data.hours.tolist() == sum(batch.column("local_hours").to_pylist(), [])
    times = [int(t.timestamp() * 1000) for t in sum(batch.column("occurred_at").to_pylist(), [])]
    assert data.times.tolist() == times


def test_many_small_batches_give_the_same_as_one():
    batch = sequence_batch(users=9)
    whole = ListeningData.from_batches([batch], [track_batch()])
    tracks = track_batch()
    parts = ListeningData.from_batches(
        (batch.slice(i, 2) for i in range(0, 9, 2)), (tracks.slice(i, 50) for i in range(0, len(tracks), 50))
    )
    for name in ("users", "offsets", "items", "hours", "times"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name), err_msg=name)
    named = [[d.device_names[code] for code in d.devices] for d in (whole, parts)]
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
    assert (data.hours == UNKNOWN).all()


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
