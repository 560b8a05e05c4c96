from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.protocol import protocol_filter, three_way
from models.evaluation.split import id_order


def whole(data, split):
    """Every user's plays, put together again from train and test; only users on both sides are held out."""
    rows = {user: row for row, user in enumerate(data.users)}
    for user, history, truth in zip(split.test.users, split.test.histories, split.test.truths, strict=True):
        assert np.concatenate([history, truth]).tolist() == data.history(rows[user]).tolist()
        assert history.tolist() == split.train.history(rows[user]).tolist()
    for user, history, truth in zip(
        split.validation.users, split.validation.histories, split.validation.truths, strict=True
    ):
        assert np.concatenate([history, truth]).tolist() == split.train.history(rows[user]).tolist()
        assert history.tolist() == split.fit.history(rows[user]).tolist()


def test_by_time_every_part_is_later_than_the_one_before(data):
    split = three_way(data)
    whole(data, split)
    assert "global temporal split" in split.test.description
    start = split.train.times.max()
    assert split.fit.times.max() < start
    tail = split.train.times[~np.isin(split.train.times, split.fit.times)]
    assert tail.min() > split.fit.times.max()
    assert (data.times > start).sum() == data.n_plays - split.train.n_plays
    assert abs(split.train.n_plays / data.n_plays - 0.9) < 0.01
    assert abs(split.fit.n_plays / split.train.n_plays - 0.9) < 0.01


def test_by_order_the_shares_are_each_users_own(data):
    split = three_way(data, clock="synthetic")
    whole(data, split)
    assert "per-user order" in split.test.description
    n = np.diff(data.offsets)
    np.testing.assert_array_equal(np.diff(split.train.offsets), n * 8 // 10)
    np.testing.assert_array_equal(np.diff(split.fit.offsets), n * 8 // 10 - np.maximum(1, n * 8 // 10 // 10))


def test_without_a_clock_order_is_the_default(plain_data):
    assert "per-user order" in three_way(plain_data).test.description
    with pytest.raises(ValueError, match="no true times"):
        three_way(plain_data, clock="event")


def test_shares_must_be_shares(data):
    with pytest.raises(ValueError, match="validation: 1.5"):
        three_way(data, validation=1.5)


def test_listeners_of_a_hold_out_are_those_of_its_own_histories(data):
    split = three_way(data)
    np.testing.assert_array_equal(split.validation.listeners, split.fit.listeners)
    np.testing.assert_array_equal(split.test.listeners, split.train.listeners)


def test_filter_is_applied_once_tracks_first(data):
    kept = protocol_filter(data, 5, 30)
    popular = data.listeners >= 5
    assert kept.catalogue.ids.tolist() == [
        track
        for index, track in enumerate(data.catalogue.ids)
        if popular[index] and kept.plays[kept.catalogue.vocabulary.lookup([track])[0]] > 0
    ]
    for user in range(data.n_users):
        mine = data.history(user)[popular[data.history(user)]]
        expected = data.catalogue.ids[mine].tolist() if len(mine) >= 30 else []
        assert kept.catalogue.ids[kept.history(user)].tolist() == expected
    place = data.catalogue.vocabulary.lookup(kept.catalogue.ids)
    np.testing.assert_array_equal(kept.catalogue.artist, data.catalogue.artist[place])
    np.testing.assert_array_equal(kept.catalogue.acoustic, data.catalogue.acoustic[place])


def test_filter_that_leaves_nothing_says_so(data):
    with pytest.raises(ValueError, match="nothing is left"):
        protocol_filter(data, 1000)


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_are_ordered_as_numbers(ids):
    assert [ids[i] for i in id_order([str(i) for i in ids])] == sorted(ids)


def test_other_ids_are_ordered_as_text():
    ids = ["10", "9", "x"]
    assert [ids[i] for i in id_order(ids)] == ["10", "9", "x"]
    assert id_order(["10", "09"]).tolist() == [1, 0]
