"""What the scorers behind the exported signatures share: histories newest first and back, excluded tracks, candidates.

``history`` is int32 [B, L], oldest first, -1 where there is no play, gaps anywhere.
"""

from __future__ import annotations

import tensorflow as tf

from models.recommend.base import UNRANKED


def latest_order(history: tf.Tensor) -> tf.Tensor:
    """int32 [B, L]: the places of the plays, latest first, and then those of the gaps."""
    place = tf.where(history >= 0, tf.range(tf.shape(history)[1])[None], -1)
    return tf.argsort(place, 1, direction="DESCENDING", stable=True)


def newest_first(history: tf.Tensor, length: int) -> tf.Tensor:
    """int32 [B, length]: the latest plays, newest first, without the gaps."""
    plays = tf.gather(history, latest_order(history)[:, :length], batch_dims=1)
    return tf.ensure_shape(
        tf.pad(plays, [[0, 0], [0, length - tf.shape(plays)[1]]], constant_values=-1), [None, length]
    )


def in_places(shares: tf.Tensor, history: tf.Tensor) -> tf.Tensor:
    """float32 [B, N, L]: ``shares`` [B, N, K] by play, latest first, at the places where the plays are."""
    n = tf.minimum(tf.shape(history)[1], tf.shape(shares)[2])
    where = tf.one_hot(latest_order(history)[:, :n], tf.shape(history)[1])  # [B, n, L]
    return tf.matmul(shares[:, :, :n], where)


def without(scores: tf.Tensor, exclude: tf.Tensor) -> tf.Tensor:
    """Scores float32 [B, I], ``UNRANKED`` for the tracks of ``exclude`` (int32 [B, M], -1 for none)."""
    row = tf.broadcast_to(tf.range(tf.shape(exclude)[0])[:, None], tf.shape(exclude))
    cells = tf.boolean_mask(tf.stack([row, exclude], -1), exclude >= 0)
    return tf.tensor_scatter_nd_update(scores, cells, tf.fill([tf.shape(cells)[0]], UNRANKED))


def of_candidates(scores: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """float32 [B, C] of scores [B, I] for candidates int32 [B, C]; ``UNRANKED`` for -1 (unknown)."""
    found = tf.gather(scores, tf.maximum(candidates, 0), batch_dims=1)
    return tf.where(candidates >= 0, found, UNRANKED)
