"""Training of the session model: as :mod:`models.recommend.sequence.training`, the memory put in beside each row."""

from __future__ import annotations

import tensorflow as tf

from models.recommend.sequence.session_windows import SessionBatch
from models.recommend.sequence.training import Trainer


class SessionTrainer(Trainer):
    def signature(self) -> SessionBatch:
        grid, vector = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)
        return SessionBatch(*super().signature(), grid, tf.TensorSpec([None, None, None], tf.float32), vector)

    def _encode(self, batch: SessionBatch, training: bool):
        plays, length = batch.plays, tf.shape(batch.plays.tracks)[1]
        rows, where = self._rows(tf.maximum(tf.concat([plays.tracks, batch.past], 1), 0), training)
        items = self._network.embedded(rows, where[:, :length], plays.tracks >= 0, training)
        before = None
        if self._config.memory:
            averages = tf.einsum("bhp,bpd->bhd", batch.weights, tf.gather(rows, where[:, length:]))
            before = (tf.reshape(averages, [-1, self._config.memory_dim]), batch.closed)
        return items, self._network.states(items, plays, training, before)
