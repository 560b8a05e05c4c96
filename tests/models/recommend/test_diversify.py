"""Re-ranking: its laws on any list, and what it does on lists small enough to see."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recommend.base import UNRANKED, Requests
from models.recommend.diversified import Diversified
from models.recommend.diversify import METHODS, Diversity, diversify
from models.recommend.similarity import Similarity


@st.composite
def lists(draw):
    """scores (with ties and unranked ones), artists (some unknown), similarity."""
    n = draw(st.integers(0, 25))
    scores = np.array(
        draw(st.lists(st.sampled_from([-2.0, 0.0, 0.1, 0.5, 3.0, np.nan, UNRANKED]), min_size=n, max_size=n))
    )
    artists = np.array(draw(st.lists(st.integers(-1, 4), min_size=n, max_size=n)), np.int64)
    genres = np.array(draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n)), np.int64)
    seed = draw(st.integers(0, 9))
    vectors = np.random.default_rng(seed).normal(size=(n, 3)).round(1)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    similarity = Similarity(np.stack([artists, genres]), np.array([0.5, 0.3]), unit, 0.2)
    return scores, artists, similarity


how = st.builds(
    Diversity,
    method=st.sampled_from(METHODS),
    tradeoff=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    artist_cap=st.sampled_from([None, 1, 2, 3]),
)


@given(lists(), how, st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_nothing_twice_nothing_unranked_and_never_more_of_an_artist_than_the_cap(listed, how, k):
    scores, artists, similarity = listed
    picked = diversify(scores, similarity, k, how, artists)
    ranked = np.flatnonzero(scores > UNRANKED)
    assert len(set(picked.tolist())) == len(picked)
    assert set(picked) <= set(ranked)
    counts = np.bincount(artists[picked][artists[picked] >= 0], minlength=5)
    cap = how.artist_cap or len(scores)
    assert counts.max() <= cap
    of_artist = np.bincount(artists[ranked][artists[ranked] >= 0], minlength=5)
    possible = np.minimum(of_artist, cap).sum() + (artists[ranked] < 0).sum()
    assert len(picked) == min(k, possible)


@given(lists(), st.sampled_from(METHODS), st.integers(0, 40))
@settings(max_examples=80, deadline=None)
def test_scores_alone_leave_the_order_as_it_was(listed, method, k):
    scores, _, similarity = listed
    picked = diversify(scores, similarity, k, Diversity(method, tradeoff=1.0, artist_cap=None))
    usable = np.where(scores > UNRANKED, scores, -np.inf)
    expected = [i for i in np.argsort(-usable, kind="stable") if np.isfinite(usable[i])][:k]
    assert picked.tolist() == expected


@given(lists(), how, st.integers(1, 12), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_candidates_does_not_matter(listed, how, k, random):
    scores, artists, similarity = listed
    order = np.array(random.sample(range(len(scores)), len(scores)), np.int64)
    ties = np.arange(len(scores))
    first = diversify(scores, similarity, k, how, artists, ties)
    second = diversify(scores[order], similarity.take(order), k, how, artists[order], ties[order])
    assert order[second].tolist() == first.tolist()


@given(lists())
@settings(max_examples=40, deadline=None)
def test_similarities_are_a_kernel(listed):
    matrix = listed[2].matrix()
    np.testing.assert_allclose(matrix, matrix.T)
    assert (matrix <= 1 + 1e-12).all() and (matrix >= -1e-12).all()
    if len(matrix):
        assert np.linalg.eigvalsh(matrix).min() > -1e-9


def test_mmr_takes_another_artist_before_more_of_the_same():
    similarity = Similarity.of_attributes([np.array([0, 0, 0, 1])])
    scores = np.array([1.0, 0.9, 0.8, 0.3])
    assert diversify(scores, similarity, 3, Diversity("mmr", 0.5, None)).tolist() == [0, 3, 1]
    assert diversify(scores, similarity, 3, Diversity("mmr", 0.95, None)).tolist() == [0, 1, 2]


def test_the_greedy_dpp_is_that_of_whole_determinants():
    rng = np.random.default_rng(3)
    scores, similarity = rng.random(12), Similarity.of_vectors(rng.normal(size=(12, 6)))
    kernel, worth = similarity.matrix(), (scores - scores.min()) / np.ptp(scores)
    picked: list[int] = []
    for _ in range(6):
        left = [i for i in range(12) if i not in picked]
        gains = [
            0.6 * worth[[*picked, i]].sum() + 0.4 * np.linalg.slogdet(kernel[np.ix_([*picked, i], [*picked, i])])[1]
            for i in left
        ]
        picked.append(left[int(np.argmax(gains))])
    assert diversify(scores, similarity, 6, Diversity("dpp", 0.6, None)).tolist() == picked


def test_five_hundred_candidates_take_about_a_millisecond():
    rng = np.random.default_rng(0)
    artists = rng.integers(0, 120, 500)
    vectors = rng.normal(size=(500, 9))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = Similarity(np.stack([artists, artists % 12]), np.array([0.5, 0.3]), unit, 0.2)
    scores = rng.random(500)
    for method in METHODS:
        how, taken = Diversity(method, 0.7, 2), []
        for _ in range(30):
            started = time.perf_counter()
            assert len(diversify(scores, similarity, 20, how, artists)) == 20
            taken.append(time.perf_counter() - started)
        assert min(taken) < 0.005, "five times what it takes alone: the machine may be busy"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "xquad"}, "none of mmr, dpp"),
        ({"tradeoff": 1.2}, "not from 0"),
        ({"artist_cap": 0}, "at least 1"),
        ({"pool": 0}, "at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Diversity(**change)


def test_lengths_and_weights_must_fit():
    one = Similarity.of_attributes([np.array([0, 1])])
    with pytest.raises(ValueError, match="similarity is of 2 tracks, scores of 3"):
        diversify(np.ones(3), one, 1)
    with pytest.raises(ValueError, match="must sum to 1"):
        Similarity(np.zeros((1, 2), int), np.array([0.5]))


class Listed:
    """A recommender that answers every request with the catalogue in order."""

    name = "listed"

    def __init__(self, catalogue):
        self.catalogue = catalogue

    def recommend(self, requests, k):
        n = min(k, len(self.catalogue))
        ids, scores = np.full((len(requests), k), "", object), np.full((len(requests), k), UNRANKED, np.float32)
        ids[:, :n], scores[:, :n] = self.catalogue.ids[:n], -np.arange(n)
        return ids, scores


def test_a_recommender_keeps_its_cap_and_its_tracks(data):
    catalogue = data.catalogue
    model = Diversified(Listed(catalogue), Diversity("dpp", 0.8, artist_cap=1, pool=60), places=5)
    ids, scores = model.recommend(Requests.of([[], []]), 30)
    plain, _ = model.model.recommend(Requests.of([[]]), 60)
    first = catalogue.vocabulary.lookup(ids[0, :4].tolist())
    assert len(set(catalogue.artist[first])) == 4  # 60 tracks of four artists: the cap gives no fifth
    assert len(set(ids[0])) == 30 and set(ids[0]) <= set(plain[0])
    assert (scores[0] > UNRANKED).all() and (ids[0] == ids[1]).all()
    as_it_was = Diversified(model.model, Diversity(tradeoff=1.0, artist_cap=None)).recommend(Requests.of([[]]), 7)
    assert as_it_was[0].tolist() == plain[:, :7].tolist()
