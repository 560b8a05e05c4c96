"""What is known to follow a track, counted over all listeners (:mod:`models.recommend.transitions`), as a distribution.

A listener's own plays are in the counts, so that in training they would know the answer. Listeners are therefore put
in groups, and the followers a listener is shown in training are counted on the other groups (cross-fitting).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.data import ListeningData
from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.layers import Dense, steps
from models.recommend.sequence.ties import TIES, Ties
from models.recommend.transitions import TransitionConfig, normalised, strongest, transition_counts

KINDS = (TransitionConfig(window=1, backward=0.0), TransitionConfig())
"""The very next play; and any soon after or before, which knows a follower of more tracks."""


class FollowerTables(tf.Module):
    """Of each kind K and group F the followers of each track, int32 [K, F, I, M] (-1: none), and log weights."""

    def __init__(self, tracks: np.ndarray, weights: np.ndarray):
        super().__init__(name="followers")
        self.tracks = tf.Variable(tracks, trainable=False, name="follower_tracks")
        logs = np.log(np.maximum(weights, 1e-9)).astype(np.float32)
        self.logs = tf.Variable(logs, trainable=False, name="follower_logs")

    @classmethod
    def count(cls, data: ListeningData, config: SequenceConfig, held_out: bool) -> FollowerTables:
        """One table of all listeners, or, ``held_out``, one a group without its own listeners."""
        group = np.arange(data.n_users) % config.folds
        masks = [(group != f)[data.user_of_play] for f in range(config.folds)] if held_out else [None]
        found = []
        for kind in KINDS:
            for mask in masks:
                plays = data.plays if mask is None else np.bincount(data.items[mask], minlength=data.n_tracks)
                table = normalised(transition_counts(data, kind, mask), plays, kind)
                found.append(strongest(table, config.successors))
        shape = (len(KINDS), len(masks), data.n_tracks, config.successors)
        return cls(*(np.stack([f[part] for f in found]).reshape(shape) for part in (0, 1)))

    def of(self, plays: tf.Tensor, folds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Followers and log weights [K, B, T, M] of plays int32 [B, T] (-1: none) of listeners of these groups [B]."""
        shape = tf.shape(self.tracks)
        groups = tf.minimum(folds, shape[1] - 1)[:, None] * shape[2] + tf.maximum(plays, 0)
        rows = [
            tf.gather(tf.reshape(table, [shape[0], -1, shape[3]]), groups, axis=1) for table in (self.tracks, self.logs)
        ]
        return tf.where((plays >= 0)[None, :, :, None], rows[0], -1), rows[1]


class FollowerHeads(tf.Module):
    """One distribution a kind: a mixture over the latest plays of their followers, sharpened by a learned power."""

    def __init__(self, config: SequenceConfig, generator: np.random.Generator):
        super().__init__(name="follower_heads")
        self.kinds, self.lags = len(KINDS), config.lags
        self.weight = Dense(generator, config.dim, self.kinds * self.lags, "follower_lags", scale=0.1)
        self.by_lag = tf.Variable(
            np.tile(-1.5 * np.arange(self.lags, dtype=np.float32), (self.kinds, 1)), name="follower_by_lag"
        )
        self.power = tf.Variable(np.ones((self.kinds, self.lags), np.float32), name="follower_power")
        size = self.kinds * len(TIES)
        self.ties = Dense(generator, config.dim, size, "follower_ties", scale=0.1) if config.ties else None

    def shares(self, states: tf.Tensor, lists: tf.Tensor, logs: tf.Tensor, ties: Ties | None) -> tf.Tensor:
        """float32 [K, B, Q, A, M]: the chance of each follower; states [B, Q, D]; lists, logs [K, B, Q, A, M]."""
        shape = tf.shape(states)
        known = lists >= 0
        power = tf.nn.softplus(self.power * 0.5413)[:, None, None, :, None]
        logs = logs * power
        if ties is not None:
            worth = tf.reshape(self.ties(states), [shape[0], shape[1], self.kinds, len(TIES)])
            worth = tf.unstack(tf.transpose(worth, [3, 2, 0, 1]), num=len(TIES))
            for flag, value in zip(ties.of_lists(lists), worth, strict=True):
                logs += flag * value[..., None, None]  # each for itself: LiteRT knows no more than five axes
        within = tf.nn.softmax(tf.where(known, logs, -1e9)) * tf.cast(known, tf.float32)
        lag = tf.reshape(self.weight(states), [shape[0], shape[1], self.kinds, self.lags])
        lag = tf.transpose(lag, [2, 0, 1, 3]) + self.by_lag[:, None, None]
        lag = tf.nn.softmax(tf.where(tf.reduce_any(known, -1), lag, -1e9))
        return within * lag[..., None]

    def lagged(self, table: tf.Tensor) -> tf.Tensor:
        """[K, B, T, A, M] of [K, B, T, M]: beside the rows of each play those of the plays before it, -1 at first."""
        out = []
        for lag in range(self.lags):
            back, length = steps(lag, table, 2)
            missing = tf.cast(-1, table.dtype)
            out.append(
                tf.pad(table[:, :, : length - back], [[0, 0], [0, 0], [back, 0], [0, 0]], constant_values=missing)
            )
        return tf.stack(out, 3)

    @staticmethod
    def confidence(lists: tf.Tensor, logs: tf.Tensor) -> tf.Tensor:
        """float32 [B, Q, 2 K], what the gate is told: how sure the first follower of the latest play is, and if any."""
        any_known = tf.cast(lists[:, :, :, 0, 0] >= 0, tf.float32)
        return tf.transpose(tf.concat([any_known, any_known * (1 + 0.2 * logs[:, :, :, 0, 0])], 0), [1, 2, 0])
