"""Examples of the contextual ranker are what was known at the moment, and what came of it."""

from dataclasses import replace

import numpy as np
import pytest
from context_world import sequence_batch_with_context, user_batch
from listening_world import track_batch

from models.data import ListeningData
from models.recommend.two_stage.contextual_config import HEADS
from models.recommend.two_stage.examples import RankingExamples, ranking_examples
from models.recommend.two_stage.moments import Moments, discover_moments, next_moments, wanted

WIDTH, HARD, HISTORY = 24, 8, 20


@pytest.fixture(scope="module")
def data():
    return ListeningData.from_batches([sequence_batch_with_context()], [track_batch()], [user_batch()])


def first_stage(history):
    """The tracks around the latest play, nearest first, the last places empty; the only feature is the track."""
    current = history[:, :1]
    tracks = np.where(current < 0, -1, (np.maximum(current, 0) + np.arange(1, 61)) % 204).astype(np.int32)
    tracks[:, 50:] = -1
    return tracks, tracks[..., None].astype(np.float32) * 1000


def made(data, moments: Moments, **keywords) -> RankingExamples:
    rng = np.random.default_rng(0)
    return ranking_examples(data, moments, first_stage, WIDTH, HARD, rng, history=HISTORY, **keywords)


def test_of_the_next_play(data):
    moments = next_moments(data, 0.5, 1.0, 400, np.random.default_rng(0))
    examples = made(data, moments)
    assert 100 < len(examples) < 400 and examples.candidates.shape[1] == WIDTH
    for row, play in enumerate(examples.plays):
        user = examples.users[row]
        assert data.offsets[user] < play < data.offsets[user + 1]
        history = examples.history[row][examples.history[row] >= 0]
        np.testing.assert_array_equal(history, data.items[data.offsets[user] : play][::-1][:HISTORY])
        np.testing.assert_array_equal(examples.candidates[row][examples.relevant[row]], [data.items[play]])
        np.testing.assert_array_equal(examples.context[row], data.context[play])
        np.testing.assert_array_equal(examples.profile[row], data.profiles[user])
        outcome = examples.outcomes[row][examples.relevant[row]][0]
        heard = data.completion[play]
        expected = [-1 if np.isnan(heard) else heard >= 0.9, *(v[play] for v in (data.skipped, data.liked, data.added))]
        np.testing.assert_array_equal(outcome, expected)
        best = (history[0] + np.arange(1, HARD + 1)) % 204
        assert set(best) <= set(examples.candidates[row])
    assert (examples.outcomes[~examples.relevant] == -1).all() and examples.outcomes.shape[2] == len(HEADS)
    np.testing.assert_array_equal(examples.features[..., 0], examples.candidates * 1000.0)


def test_of_what_is_new(data):
    moments = discover_moments(data, 0.5, 60, np.random.default_rng(0))
    examples = made(data, moments, ahead=0.5)
    answers = dict(zip(moments.plays, wanted(data, moments, 0.5), strict=True))
    for row, play in enumerate(examples.plays):
        there = examples.candidates[row][examples.relevant[row]]
        assert len(there) and set(there) <= set(answers[play])
        assert not set(examples.candidates[row][~examples.relevant[row]]) & set(answers[play]) or len(there) >= 12
        end = data.offsets[examples.users[row] + 1]
        for place in np.flatnonzero(examples.relevant[row]):
            first = play + np.flatnonzero(data.items[play:end] == examples.candidates[row, place])[0]
            assert examples.outcomes[row, place, 1] == data.skipped[first]


def test_moments_without_a_right_candidate_are_left_out_unless_asked_for(data):
    moments = next_moments(data, 0.5, 1.0, 50, np.random.default_rng(0))
    kept = made(data, moments, keep_all=True)
    assert len(kept) == 50 > len(made(data, moments)) == kept.relevant.any(1).sum()


def test_rows_are_the_candidates_that_are_there(data):
    examples = made(data, next_moments(data, 0.5, 1.0, 50, np.random.default_rng(0)))
    examples.candidates[0, -2:] = -1
    features, relevant, group = examples.rows()
    assert len(features) == len(relevant) == len(group) == (examples.candidates >= 0).sum()
    assert (np.diff(group) >= 0).all() and relevant.sum() == examples.relevant.sum()


def test_the_future_changes_nothing(data):
    users = np.arange(data.n_users)
    at = (0.4 * data.offsets[:-1] + 0.6 * data.offsets[1:]).astype(np.int64)
    rng, items = np.random.default_rng(1), data.items.copy()
    for play, end in zip(at, data.offsets[1:], strict=True):
        items[play + 1 : end] = rng.permutation(items[play + 1 : end])
    one, other = (made(d, Moments("next", at, users), keep_all=True) for d in (data, replace(data, items=items)))
    assert (items != data.items).any()
    for name in ("history", "features", "candidates", "relevant", "context"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
