"""The training step of the two-tower model."""

from __future__ import annotations

import math

import tensorflow as tf

from models.recommend.config import TwoTowerConfig
from models.recommend.examples import Batch
from models.recommend.towers import MASKED, ItemTower, UserTower

BETA_1, BETA_2, EPSILON = 0.9, 0.99, 1e-7


class Trainer:
    """Softmax over sampled candidates against all targets of the window, optimised by Adam.

    A step costs O(B N D) for B examples and N candidates; the optimiser touches every parameter, so the tables
    are best kept below some ten million rows times dimensions on one machine.
    """

    def __init__(
        self,
        items: ItemTower,
        user: UserTower,
        log_chance,
        steps: int,
        config: TwoTowerConfig,
    ):
        self._items, self._user, self._config, self._steps = items, user, config, max(1, steps)
        self._log_chance = tf.constant(log_chance)
        self._variables = [*items.trainable_variables, *user.trainable_variables]
        base = [config.learning_rate] * len(items.trainable_variables)
        self._base = base + [config.head_learning_rate] * len(user.trainable_variables)
        self._slots = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in self._variables]
        self._done = 0
        index, vector = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)
        batch = Batch(index, index, index, index, tf.TensorSpec([None, None], tf.float32), vector, vector)
        scalar = tf.TensorSpec([], tf.float32)
        self._step = tf.function(self._update, input_signature=[batch, vector, scalar, scalar, scalar])

    def step(self, batch: Batch, negatives) -> tf.Tensor:
        """One update; returns the loss before it (natural log, per example)."""
        self._done += 1
        return self._step(
            Batch(*map(tf.constant, batch)),
            tf.constant(negatives),
            tf.constant(self.schedule(), tf.float32),
            tf.constant(BETA_1**self._done, tf.float32),
            tf.constant(BETA_2**self._done, tf.float32),
        )

    def schedule(self) -> float:
        """Share of the learning rate now: linear warm-up over 5 % of the steps, then a cosine down to 2 %."""
        progress = min(1.0, self._done / self._steps)
        return min(1.0, progress / 0.05) * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))

    def _update(self, batch: Batch, negatives, share, power_1, power_2) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self.loss(batch, negatives)
        gradients = tape.gradient(loss, self._variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        for variable, gradient, (m, v), rate in zip(self._variables, gradients, self._slots, self._base, strict=True):
            if self._config.weight_decay and variable.name.endswith(("_candidate:0", "_history:0")):
                variable.assign_sub(variable * (rate * share * self._config.weight_decay))
            # The fused kernel: one pass over the tables instead of ten.
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle, m=m.handle, v=v.handle, beta1_power=power_1, beta2_power=power_2, lr=rate * share,
                beta1=BETA_1, beta2=BETA_2, epsilon=EPSILON, grad=tf.convert_to_tensor(gradient),
            )  # fmt: skip
        return loss

    def loss(self, batch: Batch, negatives) -> tf.Tensor:
        """Weighted cross-entropy of the targets; tracks of the history are no candidates, as when recommending."""
        query = self._query(batch)
        known = batch.targets >= 0
        targets = tf.where(known, batch.targets, 0)
        positive = tf.einsum("bd,bwd->bw", query, self._items.rows("candidate", targets)) + tf.gather(
            self._items.bias, targets
        )
        rows = self._items.rows("candidate", negatives)
        negative = tf.matmul(query, rows, transpose_b=True) + tf.gather(self._items.bias - self._log_chance, negatives)
        negative = self._without(negative, negatives, tf.concat([batch.history, batch.targets], 1))
        # Targets of weight 0 (already known to the listener) are neither right nor wrong.
        counted = tf.where(batch.weights > 0, positive, MASKED)
        normaliser = tf.reduce_logsumexp(tf.concat([counted, negative], 1), 1)
        return tf.reduce_mean(tf.reduce_sum(batch.weights * (normaliser[:, None] - positive), 1))

    def _query(self, batch: Batch) -> tf.Tensor:
        seen = batch.ages >= 0
        # Each track of the batch's histories is embedded once.
        tracks, where = tf.unique(tf.reshape(tf.where(seen, batch.shown, 0), [-1]))
        plays = tf.gather(self._items.rows("history", tracks), tf.reshape(where, tf.shape(batch.shown)))
        plays *= tf.cast(seen, tf.float32)[:, :, None]
        return self._user.pooled(plays, batch.ages) + self._user.context(batch.hours, batch.devices)

    def _without(self, logits: tf.Tensor, negatives: tf.Tensor, tracks: tf.Tensor) -> tf.Tensor:
        """``logits`` [B, N] with the columns of each row's own ``tracks`` [B, T] masked."""
        column = tf.fill([tf.size(self._log_chance)], -1)
        column = tf.tensor_scatter_nd_update(column, negatives[:, None], tf.range(tf.size(negatives)))
        hit = tf.where(tracks >= 0, tf.gather(column, tf.maximum(tracks, 0)), -1)
        row = tf.broadcast_to(tf.range(tf.shape(hit)[0])[:, None], tf.shape(hit))
        cells = tf.boolean_mask(tf.stack([row, hit], -1), hit >= 0)
        return tf.tensor_scatter_nd_update(logits, cells, tf.fill([tf.shape(cells)[0]], MASKED))
