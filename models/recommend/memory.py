"""The memory of the two-tower model: the strongest transitions of each track, as an additive part of the score.

Towers generalise over artists and albums but cannot hold every pair of tracks that belong together in some hundred
dimensions; a table can (wide and deep learning, Cheng et al. 2016). Each recent play adds its transitions, weighted by
a factor for its age, so this part of the score is a sum over plays too.

The towers are trained without it. Trained together they either lean on the table, which on training plays knows the
answer, or leave to it what they should generalise: on validation data both lost nearly a tenth of Recall@100.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from models.data import ListeningData
from models.recommend.config import TwoTowerConfig
from models.recommend.transitions import normalised, strongest, transition_counts


class TransitionMemory(tf.Module):
    """neighbours int32 [I, M] (-1: none) and their weights float32 [I, M]; ``by_age`` float32 [A]."""

    def __init__(self, neighbours: np.ndarray, weights: np.ndarray, by_age: np.ndarray):
        super().__init__(name="memory")
        # (variables, not constants: a graph definition must stay under 2 GB)
        self.neighbours = tf.Variable(neighbours, trainable=False, name="memory_neighbours")
        self.weights = tf.Variable(weights, trainable=False, name="memory_weights")
        self.by_age = tf.Variable(np.asarray(by_age, np.float32), trainable=False, name="memory_by_age")

    @classmethod
    def count(cls, data: ListeningData, config: TwoTowerConfig) -> TransitionMemory:
        """From the plays, with factors ``memory_scale`` times a decay by ``memory_half_life``."""
        return cls.of_counts(transition_counts(data, config.transitions), data.plays, config)

    @classmethod
    def of_counts(cls, counts: sp.csr_matrix, plays: np.ndarray, config: TwoTowerConfig) -> TransitionMemory:
        """From transition counts [I, I] and the plays [I] they were counted on."""
        table = normalised(counts, plays, config.transitions)
        decay = 0.5 ** (np.arange(config.memory_plays) / config.memory_half_life)
        return cls(*strongest(table, config.memory_neighbours), config.memory_scale * decay)

    def counts(self, plays: np.ndarray, config: TwoTowerConfig) -> sp.csr_matrix:
        """float32 [I, I]: what it was counted from, as far as it remembers."""
        neighbours, weights = self.neighbours.numpy(), self.weights.numpy()
        row, place = np.nonzero(neighbours >= 0)
        values = weights[row, place] * (plays + config.transitions.shrinkage)[row]
        shape = (len(neighbours), len(neighbours))
        return sp.csr_matrix((values.astype(np.float32), (row, neighbours[row, place])), shape=shape)

    def reordered(self, order: np.ndarray) -> TransitionMemory:
        """The same memory over the catalogue in another order."""
        place = np.empty(len(order) + 1, np.int32)
        place[order], place[-1] = np.arange(len(order)), -1  # index -1, no neighbour, stays -1
        return TransitionMemory(place[self.neighbours.numpy()[order]], self.weights.numpy()[order], self.by_age.numpy())

    def factors(self, ages: tf.Tensor) -> tf.Tensor:
        """float32, shaped as ``ages``: the factor of a play by its age, 0 where it is too old or no play."""
        limit = tf.shape(self.by_age)[0]
        used = tf.cast((ages >= 0) & (ages < limit), tf.float32)
        return tf.gather(self.by_age, tf.clip_by_value(ages, 0, limit - 1)) * used

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


def scattered(columns: tf.Tensor, values: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """float32 [B, width]: per row the sum of ``values`` [B, ...] by ``columns`` [B, ...], negative ones left out."""
    batch, among = tf.shape(columns)[0], [-1] + [1] * (columns.shape.rank - 1)
    cell = tf.where(columns >= 0, columns, width) + tf.reshape(tf.range(batch) * (width + 1), among)
    flat = tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), tf.reshape(cell, [-1]), batch * (width + 1))
    return tf.reshape(flat, [batch, width + 1])[:, :width]
