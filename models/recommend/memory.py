"""The memory of the two-tower model: the strongest transitions of each track, as an additive part of the score.

Towers generalise over artists and albums but cannot hold every pair of tracks that belong together in some hundred
dimensions; a table can (wide and deep learning, Cheng et al. 2016). Each recent play adds its transitions, weighted by
a learned factor for its age, so this part of the score is a sum over plays too.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.data import ListeningData
from models.recommend.config import TwoTowerConfig
from models.recommend.transitions import normalised, strongest, transition_counts


class TransitionMemory(tf.Module):
    """neighbours int32 [I, M] (-1: none) and their weights float32 [I, M]; ``by_age`` float32 [A], learned."""

    def __init__(self, neighbours: np.ndarray, weights: np.ndarray, by_age: np.ndarray):
        super().__init__(name="memory")
        self.neighbours = tf.Variable(neighbours, trainable=False, name="memory_neighbours")
        self.weights = tf.Variable(weights, trainable=False, name="memory_weights")
        self.by_age = tf.Variable(np.asarray(by_age, np.float32), name="memory_by_age")

    def reordered(self, order: np.ndarray) -> TransitionMemory:
        """The same memory over the catalogue in another order."""
        place = np.empty(len(order) + 1, np.int32)
        place[order], place[-1] = np.arange(len(order)), -1  # index -1, no neighbour, stays -1
        return TransitionMemory(place[self.neighbours.numpy()[order]], self.weights.numpy()[order], self.by_age.numpy())

    def factors(self, ages: tf.Tensor) -> tf.Tensor:
        """float32, shaped as ``ages``: the factor of a play by its age, 0 where it is too old or no play."""
        return age_factors(self.by_age, ages)

    def logits(self, history: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        """What the plays add to the score of every track, float32 [B, I]; history and ages int32 [B, L]."""
        tracks = tf.maximum(history, 0)
        columns = tf.gather(self.neighbours, tracks)
        values = tf.gather(self.weights, tracks) * self.factors(ages)[:, :, None]
        return scattered(columns, values, tf.shape(self.neighbours)[0])

    def shares(self, history: tf.Tensor, ages: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """What each play adds to each candidate's score, float32 [B, C, L]; candidates int32 [B, C]."""
        tracks = tf.maximum(history, 0)
        same = tf.gather(self.neighbours, tracks)[:, None] == candidates[:, :, None, None]
        values = tf.gather(self.weights, tracks) * self.factors(ages)[:, :, None]
        return tf.reduce_sum(tf.where(same, values[:, None], 0.0), -1)


class CrossFittedTransitions:
    """The transitions a training example may see: those of other users.

    A table counted on all users holds the very transition an example asks for, and training would learn to trust it
    blindly. So users are dealt into folds and each fold's examples use a table counted on the others; the finished
    model gets the table counted on everybody.
    """

    def __init__(self, data: ListeningData, config: TwoTowerConfig):
        rng = np.random.default_rng(config.seed)
        self.fold_of_user = rng.permutation(data.n_users) % config.memory_folds
        fold_of_play = self.fold_of_user[data.user_of_play]
        counts = [transition_counts(data, config.transitions, fold_of_play == f) for f in range(config.memory_folds)]
        plays = [
            np.bincount(data.items[fold_of_play == f], minlength=data.n_tracks) for f in range(config.memory_folds)
        ]
        total, total_plays, n = sum(counts[1:], counts[0]), sum(plays), config.memory_neighbours
        tables = [
            strongest(normalised(total - c, total_plays - p, config.transitions), n)
            for c, p in zip(counts, plays, strict=True)
        ]
        self.neighbours = np.stack([columns for columns, _ in tables])  # [folds, I, M]
        self.weights = np.stack([weights for _, weights in tables])
        self.full = strongest(normalised(total, total_plays, config.transitions), n)


def age_factors(by_age: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
    """``by_age[ages]``, 0 for ages outside the table."""
    limit = tf.shape(by_age)[0]
    used = tf.cast((ages >= 0) & (ages < limit), tf.float32)
    return tf.gather(by_age, tf.clip_by_value(ages, 0, limit - 1)) * used


def scattered(columns: tf.Tensor, values: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """float32 [B, width]: per row the sum of ``values`` [B, ...] by ``columns`` [B, ...], negative ones left out."""
    batch = tf.shape(columns)[0]
    columns, values = tf.reshape(columns, [batch, -1]), tf.reshape(values, [batch, -1])
    row = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(columns))
    cell = tf.where(columns >= 0, row * (width + 1) + columns, row * (width + 1) + width)
    flat = tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), tf.reshape(cell, [-1]), batch * (width + 1))
    return tf.reshape(flat, [batch, width + 1])[:, :width]
