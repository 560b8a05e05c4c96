"""What ties candidates to a history, against loops that say the same."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recommend.sequence.ties import TIES, Ties

TRACKS = 8
ARTISTS = np.array([0, 0, 1, 1, 2, -1, -1, 3], np.int32)
ALBUMS = np.array([0, 1, 2, 2, -1, -1, 3, 4], np.int32)
grids = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(st.integers(-1, TRACKS - 1), min_size=n, max_size=n), min_size=1, max_size=3)
)


def expected(history: np.ndarray, t: int, candidate: int) -> list[float]:
    past, now = [i for i in history[: t + 1] if i >= 0], history[t]
    artist, album = ARTISTS[candidate], ALBUMS[candidate]
    return [
        float(now >= 0 and artist >= 0 and ARTISTS[now] == artist),
        float(now >= 0 and album >= 0 and ALBUMS[now] == album),
        float(artist >= 0 and artist in ARTISTS[past]),
        float(candidate in past),
    ]


@settings(max_examples=40, deadline=None)
@given(grid=grids)
def test_flags_say_what_is_known_at_each_position_and_nothing_later(grid):
    grid = np.asarray(grid, np.int32)
    ties = Ties(tf.constant(grid), tf.constant(ARTISTS), tf.constant(ALBUMS), last=False)
    where = np.argwhere(np.ones_like(grid, bool))
    right = np.array([[expected(grid[b], t, c) for c in range(TRACKS)] for b, t in where])
    flags = np.stack(ties.of_all(tf.range(TRACKS), tf.constant(where)), -1)
    np.testing.assert_array_equal(flags, right)
    each = np.stack(ties.of_each(tf.constant(where[:, 1] % TRACKS, tf.int32), tf.constant(where)), -1)
    np.testing.assert_array_equal(each, right[np.arange(len(where)), where[:, 1] % TRACKS])
    lists = tf.broadcast_to(tf.range(TRACKS), [2, *grid.shape, 1, TRACKS])
    listed = np.stack(ties.of_lists(lists), -1)[1, :, :, 0].reshape(-1, TRACKS, len(TIES))
    np.testing.assert_array_equal(listed, right)


@settings(max_examples=40, deadline=None)
@given(grid=grids)
def test_the_worth_of_a_catalogue_is_that_of_its_flags(grid):
    grid = np.asarray(grid, np.int32)
    worth = np.arange(1.0, 1 + len(TIES), dtype=np.float32) + np.arange(len(grid), dtype=np.float32)[:, None] / 8
    ties = Ties(tf.constant(grid), tf.constant(ARTISTS), tf.constant(ALBUMS), last=True)
    right = [[worth[b] @ expected(grid[b], grid.shape[1] - 1, c) for c in range(TRACKS)] for b in range(len(grid))]
    np.testing.assert_allclose(ties.worth_of_catalogue(tf.constant(worth)), right, rtol=1e-6)
