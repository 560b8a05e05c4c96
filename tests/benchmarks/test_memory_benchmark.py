"""What the benchmark of the memory asks, and what a request of it may know."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.memory import METRICS, by_listener, moments, own_plays, queries_of, ranks, stored_memories, world_data
from models.recommend.sequence.config import SessionConfig
from models.recommend.sequence.memory_table import Space

HELD = 3 * 86_400_000


@pytest.fixture(scope="module")
def data():
    return world_data(5, users=30, tracks=100, days=12)


@pytest.fixture(scope="module")
def asked(data):
    return moments(data, int(data.times.max()) - HELD, 2, np.random.default_rng(0))


def test_the_world_is_in_order_and_without_duplicates(data):
    pairs = set(zip(data.user_of_play.tolist(), data.times.tolist(), data.items.tolist(), strict=True))
    assert len(pairs) == data.n_plays
    for user in range(data.n_users):
        assert (np.diff(data.times[data.offsets[user] : data.offsets[user + 1]]) >= 0).all()
    assert set(np.unique(data.of_context("hour"))) <= set(range(24))


def test_moments_are_of_sessions_that_begin_after_the_cutoff(data, asked):
    cutoff = int(data.times.max()) - HELD
    assert len(asked.plays) and asked.is_first.any() and not asked.is_first.all()
    assert (data.times[asked.begin] >= cutoff).all() and (asked.begin <= asked.plays).all()
    users = data.user_of_play[asked.plays]
    assert (data.user_of_play[asked.begin] == users).all()
    assert (data.times[data.offsets[users]] < cutoff).all(), "nobody is new"
    for kind in (asked.is_first, ~asked.is_first):
        assert np.bincount(users[kind]).max() <= 2
    assert (data.times[asked.begin[1:] - 1] < data.times[asked.begin[1:]]).all()


def test_a_request_knows_the_session_alone_and_the_memory_what_was_before(data, asked):
    current = queries_of(data, asked.plays, asked.begin)
    assert [len(h) for h in current.histories] == (asked.plays - asked.begin).tolist()
    space = Space(
        "s", data.catalogue.vocabulary, np.eye(data.n_tracks, dtype=np.float32), SessionConfig(dim=data.n_tracks)
    )
    for memory, begin in zip(stored_memories(data, asked.begin, space), asked.begin, strict=True):
        user = data.user_of_play[begin]
        fast = memory.vector[: data.n_tracks]
        assert memory.as_of < data.times[begin]
        assert set(np.flatnonzero(fast)) == set(data.items[data.offsets[user] : begin])


def test_ranks_and_means_of_listeners():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 0.0], [0.0, 5.0, 9.0]])
    rank = ranks(lambda part: scores[part], np.array([1, 0, 2]), batch=2)
    assert rank.tolist() == [2, 2, 1], "a tie is lost"
    found = by_listener(np.array([1, 2, 11]), np.array([4, 4, 9]))
    assert tuple(found) == METRICS
    np.testing.assert_allclose(found["NDCG@10"], [(1 + 1 / np.log2(3)) / 2, 0])
    np.testing.assert_allclose(found["MRR"], [0.75, 1 / 11])


def test_own_plays_come_before_what_is_popular(data):
    queries = queries_of(data, np.array([data.offsets[1] - 1]))
    score = own_plays(queries, data.plays)[0]
    heard = np.isin(np.arange(data.n_tracks), queries.histories[0])
    assert score[heard].min() > score[~heard].max() - 1e-3
    assert np.where(heard, -1, score).argmax() == np.where(heard, -1, data.plays).argmax()
