"""The training step of neural collaborative filtering."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from models.recommend.adam import FusedAdam
from models.recommend.ncf_examples import Examples
from models.recommend.ncf_network import Network

MASKED = -1e9  # the logit of a candidate that is no wrong answer


class NcfTrainer:
    """Adam on the log loss of the paper, or on a sampled softmax; the rate falls to a fiftieth along a cosine."""

    def __init__(self, network: Network, log_chance: np.ndarray, steps: int):
        self._network, self._config, self._steps, self._done = network, network.config, max(1, steps), 0
        self._log_chance = tf.constant(log_chance)
        self._variables = network.trainable_variables
        self._adam = FusedAdam(self._variables)
        vector, matrix = tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32)
        drawn, scalar = (matrix if self._config.loss == "bce" else vector), tf.TensorSpec([], tf.float32)
        signature = [Examples(vector, matrix, vector), drawn, scalar, scalar, scalar]
        self._step = tf.function(self._update, input_signature=signature)

    def step(self, examples: Examples, drawn: np.ndarray) -> tf.Tensor:
        """One update; ``drawn``: negatives int32 [B, n], or candidates int32 [N]. Returns the loss before it."""
        progress = min(1.0, self._done / self._steps)
        self._done += 1
        rate = self._config.learning_rate * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))
        return self._step(Examples(*map(tf.constant, examples)), drawn, tf.constant(rate), *self._adam.powers())

    def _update(self, examples: Examples, drawn, rate, power_1, power_2) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self.loss(examples, drawn)
        gradients = tape.gradient(loss, self._variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self._adam.apply(gradients, rate, power_1, power_2)
        return loss

    def loss(self, examples: Examples, drawn: tf.Tensor) -> tf.Tensor:
        """Mean over the examples, natural log."""
        network = self._network
        by_id = self._config.user == "id"
        listeners = network.by_id(examples.users) if by_id else network.by_history(examples.history)
        positives = examples.positives[:, None]
        if self._config.loss == "bce":
            items = tf.concat([positives, drawn], 1)
            logits = network.logits(listeners, items)
            labels = tf.concat([tf.ones_like(logits[:, :1]), tf.zeros_like(logits[:, 1:])], 1)
            each = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), 1)
        else:
            items = positives
            each = self._softmax(listeners, positives, drawn, examples.history)
        loss = tf.reduce_mean(each)
        if self._config.l2:
            loss += self._config.l2 * network.touched(listeners, items) / tf.cast(tf.shape(positives)[0], tf.float32)
        return loss

    def _softmax(self, listeners, positives: tf.Tensor, candidates: tf.Tensor, history: tf.Tensor) -> tf.Tensor:
        positive = self._network.logits(listeners, positives)
        others = self._network.logits(listeners, candidates) - tf.gather(self._log_chance, candidates)
        own = positives if self._config.repeats else tf.concat([positives, history], 1)
        others = tf.where(self._among(candidates, own), MASKED, others)
        return tf.reduce_logsumexp(tf.concat([positive, others], 1), 1) - positive[:, 0]

    def _among(self, candidates: tf.Tensor, tracks: tf.Tensor) -> tf.Tensor:
        """bool [B, N]: which of the shared ``candidates`` [N] are among each row's own ``tracks`` [B, T], -1 none."""
        column = tf.fill([tf.size(self._log_chance)], -1)
        column = tf.tensor_scatter_nd_update(column, candidates[:, None], tf.range(tf.size(candidates)))
        hit = tf.where(tracks >= 0, tf.gather(column, tf.maximum(tracks, 0)), -1)
        row = tf.broadcast_to(tf.range(tf.shape(hit)[0])[:, None], tf.shape(hit))
        cells = tf.boolean_mask(tf.stack([row, hit], -1), hit >= 0)
        found = tf.zeros([tf.shape(tracks)[0], tf.size(candidates)], tf.int32)
        return tf.tensor_scatter_nd_max(found, cells, tf.ones([tf.shape(cells)[0]], tf.int32)) > 0
