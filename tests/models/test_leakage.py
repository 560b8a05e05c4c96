"""Planted leaks are caught, honest features pass."""

from __future__ import annotations

import numpy as np
import pytest
from context_world import sequence_batch_with_context
from hypothesis import given, settings
from hypothesis import strategies as st
from listening_world import sequence_batch, track_batch

from models.data import OF_PLAYS, ListeningData
from models.evaluation.leakage import (
    LeakageError,
    assert_no_leak,
    at_each_play,
    find_leaks,
    past,
    seen_at,
    suspicious,
    tampered,
)
from models.recommend.popularity import Popularity
from models.recommend.requests import requests_of
from models.recommend.transitions import Transitions


@pytest.fixture(scope="module", params=["event", "synthetic"])
def world(request) -> ListeningData:
    return ListeningData.from_batches([sequence_batch_with_context(25, request.param)], [track_batch()])


def known_plays(data, seen):
    return np.asarray(seen, float)


def last_track(data, seen):
    return np.array([data.items[o + s - 1] if s else -1 for o, s in zip(data.offsets[:-1], seen, strict=True)])


def popularity_so_far(data, seen):
    return past(data, seen).plays


def scores_of(make, cut_first):
    def scores(data, seen):
        known = past(data, seen)
        model = make().fit(known if cut_first else data)
        return model.recommend(requests_of(known, range(3)), 5)[1]

    return scores


def plays_before(data):
    """For every play: how many the user had before."""
    return np.arange(data.n_plays) - data.offsets[data.user_of_play]


def skips_before(data):
    """For every play: how many of the user's plays before it were skipped, as far as they say so."""
    skipped = np.cumsum(data.skipped == 1) - (data.skipped == 1)
    return skipped - skipped[data.offsets[:-1]][data.user_of_play]


def repeats_before(data):
    """For every play: how often the user had played the track of the play before."""
    out = np.full(data.n_plays, np.nan)
    for user in range(data.n_users):
        history = data.history(user)
        for i in range(1, len(history)):
            out[data.offsets[user] + i] = (history[:i] == history[i - 1]).sum()
    return out


HONEST = {
    "known plays": known_plays,
    "last track": last_track,
    "popularity so far": popularity_so_far,
    "scores of popularity": scores_of(Popularity, True),
    "scores of transitions": scores_of(Transitions, True),
    "plays before": at_each_play(plays_before),
    "repeats before": at_each_play(repeats_before),
    "context of the request": at_each_play(lambda data: data.context),
    "session of the request": at_each_play(lambda data: data.sessions),
    "skips before": at_each_play(skips_before),
}
LEAKING = {
    "popularity of all time": lambda data, seen: data.plays,
    "plays of all time": lambda data, seen: np.diff(data.offsets),
    "next track": lambda data, seen: data.items[np.minimum(data.offsets[:-1] + seen, data.n_plays - 1)],
    "scores of popularity fit on everything": scores_of(Popularity, False),
    "own track of the play": at_each_play(lambda data: data.items),
    "plays of the track, this one with them": at_each_play(lambda data: data.plays[data.items]),
    "share of the user's plays": at_each_play(
        lambda data: plays_before(data) / np.diff(data.offsets)[data.user_of_play]
    ),
    "context of the last play": at_each_play(lambda data: data.context[data.offsets[1:] - 1][data.user_of_play]),
    "share heard of this play": at_each_play(lambda data: data.completion),
    "skips with this one": at_each_play(lambda data: skips_before(data) + data.skipped),
    "likes of all time": lambda data, seen: np.add.reduceat(data.liked, data.offsets[:-1]),
    "order of the last two": at_each_play(
        lambda data: (data.items[data.offsets[1:] - 1] > data.items[data.offsets[1:] - 2])[data.user_of_play]
    ),
}


def test_honest_features_pass(world):
    assert find_leaks(HONEST, world) == {}
    assert_no_leak(HONEST, world)


def test_planted_leaks_are_caught_and_nothing_else(world):
    assert set(find_leaks(HONEST | LEAKING, world)) == set(LEAKING)


def test_the_error_names_what_leaks_and_how(world):
    with pytest.raises(LeakageError, match=r"- plays of all time: \d+ of 25 values changed .* was (removed|added to)"):
        assert_no_leak({"plays of all time": LEAKING["plays of all time"], "last track": last_track}, world)


def test_when_a_play_follows_is_future_too():
    data = ListeningData.from_batches([sequence_batch(users=25)], [track_batch()])

    def gap_after(data):
        return np.append(np.diff(data.times), 0)

    def gap_before(data):
        first = plays_before(data) == 0
        return np.where(first, -1, np.diff(data.times, prepend=0))

    assert set(find_leaks({"after": at_each_play(gap_after), "before": at_each_play(gap_before)}, data)) == {"after"}


@settings(max_examples=15, deadline=None)
@given(
    cut=st.floats(0.05, 0.95), seed=st.integers(0, 10**6), weights=st.lists(st.floats(-2, 2), min_size=1, max_size=4)
)
def test_whatever_is_computed_from_the_past_passes_and_one_look_ahead_does_not(cut, seed, weights):
    """Any weighted sum over the latest plays is honest; the same sum that begins one play later is not."""
    data = ListeningData.from_batches([sequence_batch(users=12, seed=3)], [track_batch()])

    def weighted(ahead):
        def feature(data, seen):
            ends = zip(data.offsets[:-1], data.offsets[1:], seen, strict=True)
            recent = [data.items[o : min(o + s + ahead, e)][::-1][: len(weights)] for o, e, s in ends]
            return np.array([np.dot(weights[: len(r)], r) for r in recent])

        return feature

    assert find_leaks({"past": weighted(0)}, data, [cut], seed) == {}
    if abs(weights[0]) > 1e-3:
        assert set(find_leaks({"ahead": weighted(1)}, data, [cut], seed)) == {"ahead"}


@settings(max_examples=15, deadline=None)
@given(cut=st.floats(0.05, 0.95), seed=st.integers(0, 10**6))
def test_tampering_leaves_the_past_alone_and_changes_the_future(cut, seed):
    data = ListeningData.from_batches([sequence_batch_with_context(12)], [track_batch()])
    seen = seen_at(data, cut)
    before = past(data, seen)
    kinds = []
    for kind, other in tampered(data, seen, np.random.default_rng(seed)):
        kinds.append(kind)
        after = past(other, seen)
        for name in ("offsets", *OF_PLAYS):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name), err_msg=f"{kind}: {name}")
        assert other.offsets[-1] == other.n_plays
        assert (np.diff(other.times) >= 0)[np.diff(other.user_of_play) == 0].all()
        same = other.n_plays == data.n_plays and all(
            (getattr(other, name) == getattr(data, name)).all() for name in ("items", "times")
        )
        assert not same, kind
    assert len(kinds) == 6


def test_a_feature_table_of_another_length_is_refused(world):
    with pytest.raises(ValueError, match="3 rows for"):
        find_leaks({"x": at_each_play(lambda data: np.zeros(3))}, world)


def test_too_good_to_be_true():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    features = {
        "label": -3.0 * y,
        "missing where it is positive": np.where(y == 1, np.nan, 1.0),
        "good": y + rng.normal(0, 1, 500),
        "noise": rng.random(500),
        "all missing": np.full(500, np.nan),
    }
    assert set(suspicious(features, y)) == {"label", "missing where it is positive"}
    with pytest.raises(ValueError, match="both 0 and 1"):
        suspicious(features, np.ones(500))
