"""The network: an encoder, and heads whose distributions a learned gate mixes.

    p(next = j | t) = sum over heads k of g_k(t) p_k(j | t)

The heads: a softmax over the catalogue (discovery), copies of the listener's own history (return), and what is counted
to follow the latest plays. All are distributions over tracks, so the mixture is one.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.recommend.sequence.config import GRU4RecConfig, SequenceConfig
from models.recommend.sequence.copying import GATE_FEATURES, CopyHeads, Grid
from models.recommend.sequence.encoders import Attention, Recurrence
from models.recommend.sequence.followers import FollowerHeads
from models.recommend.sequence.layers import Dense, Norm, dropped
from models.recommend.sequence.long_term import unscaled
from models.recommend.sequence.ties import TIES, Ties
from models.recommend.sequence.windows import GAPS, HOURS_OF_WEEK, Plays

TINY = 1e-12


class Network(tf.Module):
    """Everything that is learned but the items themselves (:class:`models.recommend.towers.ItemTower`).

    ``clock`` and ``followers`` say whether the data have true times and whether counted followers are used: what is
    not there has no variable and costs nothing.
    """

    def __init__(self, config: SequenceConfig, clock: bool):
        super().__init__(name="sequence")
        generator, dim = np.random.default_rng(config.seed + 1), config.dim
        self.config, self.clock = config, clock
        self.norm = Norm(dim, "input_norm")
        if clock:
            self.gaps = tf.Variable(tf.zeros([GAPS, dim]), name="gaps")
            self.hours = tf.Variable(tf.zeros([24, dim]), name="hours")
            self.week = tf.Variable(tf.zeros([HOURS_OF_WEEK, dim]), name="hours_of_week")
        if config.memory:
            self.recall = Dense(generator, config.memory_dim, dim, "recall", scale=0.1)
        recurrent = isinstance(config, GRU4RecConfig)
        self.encoder = Recurrence(config, generator) if recurrent else Attention(config, generator)
        self.query = Dense(generator, dim, dim, "query")
        self.worth = Dense(generator, dim, len(TIES), "ties", scale=0.1) if config.ties else None
        self.follow = FollowerHeads(config, generator) if config.successors else None
        kinds = 0 if self.follow is None else self.follow.kinds
        self.copy = CopyHeads(config.copy_heads, dim, generator) if config.copy_heads else None
        self.gate_hidden = Dense(generator, dim + GATE_FEATURES + 2 * kinds, dim, "gate_hidden")
        self.gate = Dense(generator, dim, 1 + config.copy_heads + kinds, "gate", scale=0.1)

    def states(self, embedded: tf.Tensor, plays: Plays, training: bool, before=None) -> tf.Tensor:
        """The state before the play after each, float32 [B, T, D], of plays embedded as [B, T, D].

        before: the memory of sessions before the first play, (vector [B, H D], sessions int32 [B]), or None.
        """
        known = plays.tracks >= 0
        x = self.norm(embedded) * tf.cast(known, tf.float32)[:, :, None]
        moment = tf.zeros_like(x)
        if self.clock:
            for table, codes in ((self.gaps, plays.gaps), (self.week, plays.hours), (self.hours, plays.hours % 24)):
                moment += tf.gather(table, tf.maximum(codes, 0)) * tf.cast(codes >= 0, tf.float32)[:, :, None]
        if self.config.memory:
            moment += self.recall(self.remembered(embedded, plays, before))
        sessions = plays.sessions if self.config.reach == "session" else None
        return self.encoder(x + moment, known, sessions, training) + moment

    def remembered(self, embedded: tf.Tensor, plays: Plays, before) -> tf.Tensor:
        """float32 [B, T, H D]: the memory read before the play after each, each average of about unit length."""
        decays = self.config.decays
        vectors = [None] * len(decays) if before is None else tf.split(before[0], len(decays), axis=1)
        parts = [
            self._average(embedded, plays, decay, vector, None if before is None else before[1])
            for decay, vector in zip(decays, vectors, strict=True)
        ]
        return tf.concat(parts, -1)

    @staticmethod
    def _average(embedded: tf.Tensor, plays: Plays, decay: float, vector, sessions) -> tf.Tensor:
        raw = unscaled(plays.sessions, plays.upcoming, decay)
        held = tf.reduce_sum(raw, 2, keepdims=True)
        total = tf.matmul(raw, embedded)
        if vector is not None:
            first = tf.reduce_min(
                tf.where(plays.upcoming >= 0, plays.upcoming, plays.upcoming.dtype.max), 1, keepdims=True
            )
            kept = tf.pow(tf.constant(decay), tf.cast(tf.maximum(plays.upcoming - first, 0), tf.float32))[:, :, None]
            total += kept * vector[:, None]
            held += kept * (1 - tf.pow(tf.constant(decay), tf.cast(sessions, tf.float32)))[:, None, None]
        mean = tf.math.divide_no_nan(total, held)
        return mean * tf.math.rsqrt(tf.reduce_mean(mean * mean, -1, keepdims=True) + 1e-6)

    def mixture(self, states, items, grid: Grid, followers, ties: Ties | None, last: bool):
        """What every head but the softmax says, and the gate.

        followers: (lists, logs) as from ``FollowerTables.of``, or None. Returns log gates [B, Q, K], shares of copies
        [B, H, Q, T] or None, and (lists, shares) of followers [K, B, Q, A, M] or None.
        """
        asked = states[:, -1:] if last else states
        told, copies, counted = [grid.features], None, None
        able = [tf.ones_like(asked[:, :, :1], tf.bool)]  # a head with nothing to say has no share
        if self.copy is not None:
            copies = self.copy(states, items, grid, last)
            able += [tf.reduce_any(grid.allowed, -1)[:, :, None]] * self.copy.heads
        if self.follow is not None:
            lists, logs = (self.follow.lagged(table) for table in followers)
            if last:
                lists, logs = lists[:, :, -1:], logs[:, :, -1:]
            counted = (lists, self.follow.shares(asked, lists, logs, ties))
            told.append(self.follow.confidence(lists, logs))
            able.append(tf.transpose(tf.reduce_any(lists >= 0, [3, 4]), [1, 2, 0]))
        logits = self.gate(tf.nn.gelu(self.gate_hidden(tf.concat([asked, *told], -1))))
        return tf.nn.log_softmax(tf.where(tf.concat(able, -1), logits, -1e9)), copies, counted

    def likelihood(self, explore: tf.Tensor, plays: Plays, targets: tf.Tensor, mixed) -> tf.Tensor:
        """Log probability of each target, float32 [B, T], of the softmax's log probabilities ``explore`` [B, T]."""
        gates, copies, counted = mixed
        parts = [explore]
        if copies is not None:
            hit = tf.cast((targets[:, :, None] == plays.tracks[:, None, :]) & (targets >= 0)[:, :, None], tf.float32)
            chance = tf.reduce_sum(copies * hit[:, None], 3)
            parts += tf.unstack(tf.math.log(chance + TINY), num=self.copy.heads, axis=1)
        if counted is not None:
            lists, shares = counted
            hit = tf.cast(lists == targets[None, :, :, None, None], tf.float32)
            parts += tf.unstack(tf.math.log(tf.reduce_sum(shares * hit, [3, 4]) + TINY), num=self.follow.kinds)
        return tf.reduce_logsumexp(gates + tf.stack(parts, -1), -1)

    def embedded(self, rows: tf.Tensor, where: tf.Tensor, known: tf.Tensor, training: bool) -> tf.Tensor:
        """Rows [N, D] of the items at ``where`` int32 [B, T], dropped out, 0 where not ``known``."""
        x = tf.gather(rows, where) * tf.cast(known, tf.float32)[:, :, None]
        return dropped(x, self.config.dropout, training)
