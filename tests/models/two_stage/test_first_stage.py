"""The first stage looks at a pool of tracks and finds what a look at the whole catalogue would."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recommend.two_stage.pool import Pool
from models.recommend.two_stage.sources import best_of_artists

TRACKS = 12
some = st.lists(st.integers(-1, TRACKS - 1), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(first=some, second=some, exclude=some)
def test_a_pool_has_every_named_track_once_and_in_order(first, second, exclude):
    pool = Pool.of(TRACKS, tf.constant([first]), tf.constant([second]))
    named = sorted({track for track in first + second if track >= 0}) or [0]
    assert pool.tracks.numpy().tolist() == named
    places = pool.of_tracks(tf.constant([list(range(-1, TRACKS))])).numpy()[0]
    assert places.tolist() == [named.index(t) if t in named else -1 for t in range(-1, TRACKS)]
    assert pool.tracks_at(tf.constant([[-1, *range(len(named))]])).numpy()[0].tolist() == [-1, *named]
    assert pool.allowed(tf.constant([exclude])).numpy()[0].tolist() == [float(t not in exclude) for t in named]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 6))
def test_the_best_tracks_by_artist_are_among_the_first_of_the_best_artists(seed, n):
    rng = np.random.default_rng(seed)
    artists, artist = 5, rng.integers(-1, 5, 40)
    share = np.where(artist >= 0, rng.random(40), 0).astype(np.float32)
    worth = rng.random(artists).astype(np.float32) * (rng.random(artists) < 0.8)
    best, largest = best_of_artists(artist, share, artists, n)
    chosen = np.argsort(-worth * largest, kind="stable")[:n]
    found = {track for a in chosen if worth[a] * largest[a] > 0 for track in best[a] if track >= 0}
    score = np.where(artist >= 0, worth[artist], 0) * share
    assert found >= {int(track) for track in np.argsort(-score, kind="stable")[:n] if score[track] > 0}
