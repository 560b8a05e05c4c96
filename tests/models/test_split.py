from __future__ import annotations

import numpy as np
import pytest

from models.data import ListeningData
from models.evaluation.split import last_plays, split


def test_with_a_clock_nothing_in_training_is_later_than_the_hold_out(data):
    train, held = split(data)
    assert train.n_plays + sum(len(t) for t in held.truths) <= data.n_plays
    assert abs(train.n_plays / data.n_plays - 0.9) < 0.01
    cutoff = train.times.max()
    for user, truth in zip(held.users, held.truths, strict=True):
        index = data.users.tolist().index(user)
        later = data.times[data.offsets[index] : data.offsets[index + 1]] > cutoff
        assert data.history(index)[later].tolist() == truth.tolist()


def test_without_a_clock_the_last_tenth_of_each_user_is_held_out(plain_data):
    train, held = split(plain_data)
    assert len(held) == plain_data.n_users
    for user in range(plain_data.n_users):
        n = len(plain_data.history(user))
        assert len(held.truths[user]) == max(1, n // 10)
        whole = np.concatenate([train.history(user), held.truths[user]])
        assert whole.tolist() == plain_data.history(user).tolist()


@pytest.mark.parametrize(("n", "expected"), [(2, 1), (10, 1), (19, 1), (20, 2), (100, 10)])
def test_share_is_floored_but_at_least_one(plain_data, n, expected):
    one = ListeningData(plain_data.users[:1], plain_data.catalogue, np.array([0, n]), np.zeros(n, np.int32))
    assert last_plays(one, 0.1).sum() == expected


def test_hold_out_carries_the_context_of_the_first_held_out_play(data):
    train, held = split(data)
    row = 3
    user = data.users.tolist().index(held.users[row])
    position = data.offsets[user] + len(train.history(user))
    moment = data.context_fields.decode(data.context[position : position + 1])
    assert {name: values[row] for name, values in held.context.items()} == {k: v[0] for k, v in moment.items()}
    assert moment["hour"] != [None]
    assert held.now[row] == data.times[position]


def test_requests_of_a_hold_out_say_what_was_known_before_the_first_held_out_play(data):
    train, held = split(data)
    held = held.sample(5)
    plain, new = held.requests("next"), held.requests("discover")
    assert plain.exclude is None
    assert new.exclude == new.histories == held.raw_histories()
    for row, user in enumerate(held.users):
        index = train.users.tolist().index(user)
        own = slice(train.offsets[index], train.offsets[index + 1])
        assert plain.times[row].tolist() == train.times[own].tolist()
        assert plain.times[row].max() < plain.now[row]
        assert plain.skipped[row].tolist() == train.skipped[own].tolist()
    assert (
        plain.profile["gender"]
        == train.profile_fields.decode(train.profiles[np.searchsorted(train.users, held.users)])["gender"]
    )
    with pytest.raises(ValueError, match="'new' is neither 'next'"):
        held.requests("new")


def test_nobody_on_both_sides_is_an_error(plain_data):
    single = plain_data.keep(np.arange(plain_data.n_plays) == plain_data.offsets[plain_data.user_of_play])
    with pytest.raises(ValueError, match="none of 60 users has plays on both sides"):
        split(single)


def test_sample_is_repeatable_and_smaller(plain_data):
    _, held = split(plain_data)
    assert len(held.sample(10)) == 10
    assert held.sample(10).users.tolist() == held.sample(10).users.tolist()
    assert held.sample(1000) is held
