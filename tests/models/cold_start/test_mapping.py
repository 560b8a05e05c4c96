from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from cold_worlds import TRACKS
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data import UNKNOWN
from models.recommend.cold_start.content import codes_of, content_matrix, hashed_ngrams, one_of_many
from models.recommend.cold_start.mapping import ContentMap
from models.recommend.cold_start.taste import TasteTree


def _map(world, new, names=None):
    listeners = np.where(new, 0, world.listeners)
    return ContentMap(content_matrix(world.catalogue, names), world.catalogue, listeners)


def test_new_tracks_get_the_value_of_their_like_and_their_artist(world):
    rng = np.random.default_rng(0)
    artist = np.arange(world.n_tracks) // TRACKS
    values = (np.nan_to_num(world.catalogue.acoustic[:, [1]]) + rng.normal(0, 1, 20)[artist][:, None]).astype(
        np.float32
    )
    new = np.arange(world.n_tracks) % TRACKS == 3
    found = _map(world, new).filled(np.where(new[:, None], 99, values))
    assert np.array_equal(found[~new], values[~new])
    assert np.corrcoef(found[new, 0], values[new, 0])[0, 1] > 0.9


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_mapping_scores_is_mapping_vectors(world, seed):
    """The law that lets any model's scores be mapped."""
    rng = np.random.default_rng(seed)
    mapping = _map(world, rng.random(world.n_tracks) < 0.2)
    vectors, queries = rng.normal(size=(world.n_tracks, 5)), rng.normal(size=(3, 5))
    assert np.allclose(mapping.filled(vectors) @ queries.T, mapping.filled(vectors @ queries.T), atol=1e-4)


def test_content_has_rows_for_all_and_words_where_there_are_names(world, names):
    plain, worded = content_matrix(world.catalogue), content_matrix(world.catalogue, names, words=32)
    assert worded.shape[1] == plain.shape[1] + 32 and np.isfinite(worded.toarray()).all()
    text = hashed_ngrams(["Blue Moon", "blue moon", "Other", ""], 64)
    assert (text[0] != text[1]).nnz == 0 and (text[0] != text[2]).nnz > 0 and text[3].nnz == 0


def test_unknown_labels_have_no_column():
    assert codes_of(["b", "", "a", "b"]).tolist() == [1, UNKNOWN, 0, 1]
    assert one_of_many(np.array([1, -1, 0])).toarray().tolist() == [[0, 1], [0, 0], [1, 0]]


def test_lifts_grow_with_plays_from_nothing_to_the_listener_own(world):
    tree = TasteTree(world.catalogue.genre, world.catalogue.artist, world.listeners + 1.0)
    lifts = []
    for n in (0, 1, 5, 50):
        counts = sp.csr_matrix(np.where(np.arange(world.n_tracks) == 0, n, 0)[None].astype(float))
        lifts.append(tree.lifts(counts, None, (4.0, 8.0))[0])
    assert not lifts[0].any()
    own = [row[:TRACKS].mean() for row in lifts]
    others = [row[-TRACKS:].mean() for row in lifts]
    assert own == sorted(own) and others == sorted(others, reverse=True) and own[1] > own[0] and others[1] < others[0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_lifted_shares_are_a_distribution(world, seed):
    rng = np.random.default_rng(seed)
    tree = TasteTree(world.catalogue.genre, world.catalogue.artist, rng.random(world.n_tracks) + 0.1)
    counts = sp.random(2, world.n_tracks, 0.05, random_state=seed, format="csr")
    prior = tree.lifts(sp.random(2, world.n_tracks, 0.05, random_state=seed + 1, format="csr"), None, (3.0, 5.0, 9.0))
    lifted = tree.shares * np.exp(prior + tree.lifts(counts, prior, (2.0, 4.0, 8.0)))
    assert np.allclose(lifted.sum(1), 1.0, atol=1e-4)


def test_tracks_without_artist_or_genre_take_part(plain_data):
    tree = TasteTree(plain_data.catalogue.genre, plain_data.catalogue.artist, plain_data.listeners + 1.0)
    counts = sp.csr_matrix(np.eye(1, plain_data.n_tracks))
    assert np.allclose(tree.lifts(counts, None, (4.0, 8.0)), 0, atol=1e-5)
