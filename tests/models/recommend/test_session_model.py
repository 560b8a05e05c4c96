"""The session model: a request of the current session beside a stored memory is a request of the whole history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sequence_worlds import GROUP, HOUR, MINUTE, TRACKS, favourites, listening

from models.recommend.base import Requests
from models.recommend.requests import Queries
from models.recommend.sequence import SessionConfig
from models.recommend.sequence.long_term import LongTerm
from models.recommend.sequence.memory_table import updated
from models.recommend.sequence.session_model import SessionModel
from models.recommend.sequence.session_windows import SessionWindows

SMALL = {"dim": 16, "batch_size": 16, "history": 40, "overlap": 5, "learning_rate": 0.02, "dropout": 0.0,
         "track_dropout": 0.0, "epochs": 12, "successors": 8}  # fmt: skip


@pytest.fixture(scope="module")
def models():
    data = listening(*favourites(120, seed=0))
    configs = (SessionConfig(**SMALL, memory=m, slow_memory_decay=0.9) for m in (True, False))
    return {config.memory: SessionModel(config).fit(data) for config in configs}


def test_memory_knows_how_a_new_session_starts(models):
    histories, times = favourites(60, seed=1)
    first = np.array([h[0] - (h[0] - TRACKS // 2) % GROUP for h in histories])
    queries = replace(Queries.of(histories), times=times, now=np.array([t[-1] + 24 * HOUR for t in times]))
    mass = {}
    for memory, model in models.items():
        chance = np.exp(model.scores(queries))
        np.testing.assert_allclose(chance.sum(1), 1, atol=1e-3)
        mass[memory] = np.mean([row[f : f + GROUP].sum() for row, f in zip(chance, first, strict=True)])
    assert mass[True] > 2 * mass[False]


@pytest.mark.parametrize("pause", [2 * MINUTE, 20 * HOUR], ids=["in a session", "before the first play of one"])
def test_a_stored_memory_beside_the_session_says_what_the_whole_history_says(models, pause):
    model = models[True]
    histories, times = favourites(8, seed=2)
    now = np.array([t[-1] + pause for t in times])
    whole = model.scores(replace(Queries.of(histories), times=times, now=now))
    memories = []
    for history, when, moment in zip(histories, times, now, strict=True):
        row = None
        for n in range(0, len(history) + 1, 6):  # whenever the table happens to be brought up to date
            row = updated(row, history[:n], when[:n], int(when[:n].max(initial=0)), model.space)
        memories.append(updated(row, history, when, int(moment), model.space).memory)
    left = [int((t > m.as_of).sum()) for t, m in zip(times, memories, strict=True)]
    assert set(left) == {4 if pause < HOUR else 0}
    current = replace(
        Queries.of([h[len(h) - n :] for h, n in zip(histories, left, strict=True)]),
        times=[t[len(t) - n :] for t, n in zip(times, left, strict=True)], now=now,
    )  # fmt: skip
    np.testing.assert_allclose(model.scores_beside(current, memories), whole, atol=1e-5)
    forgotten = model.scores_beside(current, [LongTerm.empty(32, model.version)] * 8)
    assert np.abs(forgotten - whole).max() > 0.1


def test_a_memory_that_lags_is_caught_up_from_the_plays_that_a_request_carries(models):
    model = models[True]
    histories, times = favourites(4, seed=3)
    now = np.array([t[-1] + MINUTE for t in times])
    whole = replace(Queries.of(histories), times=times, now=now)
    old = [updated(None, h[:20], t[:20], int(t[20]), model.space).memory for h, t in zip(histories, times, strict=True)]
    rest = replace(whole, histories=[h[20:] for h in histories], times=[t[20:] for t in times])
    np.testing.assert_allclose(model.scores_beside(rest, old), model.scores(whole), atol=1e-5)


def test_an_empty_session_is_answered_from_memory(models):
    model = models[True]
    group = [f"track-{TRACKS - GROUP + i}" for i in range(GROUP)]
    memory = model.remember(model.remember(None, group), ["track-3", "track-8", "track-13", "track-5"])  # radio
    empty = Requests.of([[], []])
    ids, scores = model.recommend_beside(empty, [memory, None], GROUP)
    assert set(ids[0]) == set(group)
    assert set(ids[1]) != set(group)
    np.testing.assert_array_equal(model.recommend(empty, GROUP)[0][1], ids[1])
    assert np.isfinite(scores).all()


def test_memories_of_another_model_and_of_another_number_are_refused(models):
    model, empty = models[True], Requests.of([[]])
    with pytest.raises(ValueError, match="'of before'"):
        model.recommend_beside(empty, [LongTerm.empty(32, "of before")], 3)
    with pytest.raises(ValueError, match="0 memories for 1 requests"):
        model.recommend_beside(empty, [], 3)


def test_two_averages_stand_side_by_side():
    data = listening(*favourites(3, seed=5, pairs=2))
    config = SessionConfig(**SMALL, memory_decay=0.5, slow_memory_decay=0.9)
    [batch] = SessionWindows(data, config).epoch(np.random.default_rng(0))
    for average, decay in enumerate((0.5, 0.9)):
        np.testing.assert_allclose(batch.weights[:, average].sum(1), 1 - decay**batch.closed, rtol=1e-5)
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    both, fast, slow = LongTerm.empty(6, "v"), LongTerm.empty(3, "v"), LongTerm.empty(3, "v")
    for part in (rows[:2], rows[2:]):
        both = both.closed(part, (0.5, 0.9), "v")
        fast, slow = fast.closed(part, 0.5, "v"), slow.closed(part, 0.9, "v")
    np.testing.assert_array_equal(both.vector, np.concatenate([fast.vector, slow.vector]))


def test_rows_of_training_are_sessions_with_what_closed_sessions_weigh():
    data = listening(*favourites(3, seed=5, pairs=2))
    config = SessionConfig(
        **SMALL | {"history": 10, "overlap": 2}, memory_decay=0.5, slow_memory_decay=0.0, moment_dropout=0.0
    )
    windows = SessionWindows(data, config)
    assert windows.steps == 1
    [batch] = windows.epoch(np.random.default_rng(0))
    assert sorted(batch.targets[batch.targets >= 0]) == sorted(data.items), "every play once"
    assert (batch.plays.tracks[:, 0] == -1).all() and (batch.plays.tracks[:, 1:] == batch.targets[:, :-1]).all()
    assert batch.weights.shape[1] == 1
    weights = batch.weights[:, 0]
    np.testing.assert_allclose(weights.sum(1), 1 - 0.5**batch.closed, rtol=1e-6)
    assert set(batch.closed) == {0, 1, 2}, "of the three before a fourth two fit into ten plays"
    for row in np.flatnonzero(batch.closed == 2):
        past = batch.past[row][weights[row] > 0]
        user = next(u for u in range(3) if set(past) <= set(data.history(u)))
        assert any((data.history(user)[n : n + 8] == past).all() for n in (0, 4))
        assert weights[row][weights[row] > 0].tolist() == [0.0625] * 4 + [0.125] * 4
    firsts = batch.plays.gaps[:, 0]
    assert (firsts[batch.closed == 0] == -1).all() and (firsts[batch.closed > 0] > 10).all()
    blind = SessionWindows(data, replace(config, memory=False))
    [batch] = blind.epoch(np.random.default_rng(0))
    assert (batch.plays.gaps[:, 0] == -1).all(), "without a memory nothing tells when the last session was"
