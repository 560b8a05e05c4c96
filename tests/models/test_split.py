from __future__ import annotations

import numpy as np
import pytest

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
    from dataclasses import replace

    one = replace(
        plain_data,
        users=plain_data.users[:1],
        offsets=np.array([0, n]),
        items=np.zeros(n, np.int32),
        hours=np.zeros(n, np.int8),
        devices=np.zeros(n, np.int16),
    )
    assert last_plays(one, 0.1).sum() == expected


def test_hold_out_carries_the_context_of_the_first_held_out_play(data):
    train, held = split(data)
    row = 3
    user = data.users.tolist().index(held.users[row])
    position = data.offsets[user] + len(train.history(user))
    assert held.hours[row] == data.hours[position]
    assert held.devices[row] == data.device_names[data.devices[position]]


def test_nobody_on_both_sides_is_an_error(plain_data):
    single = plain_data.keep(np.arange(plain_data.n_plays) == plain_data.offsets[plain_data.user_of_play])
    with pytest.raises(ValueError, match="none of 60 users has plays on both sides"):
        split(single)


def test_sample_is_repeatable_and_smaller(plain_data):
    _, held = split(plain_data)
    assert len(held.sample(10)) == 10
    assert held.sample(10).users.tolist() == held.sample(10).users.tolist()
    assert held.sample(1000) is held
