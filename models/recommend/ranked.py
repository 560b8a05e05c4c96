"""Models that score the whole catalogue from plays, in the form that the exported signatures ask."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from models.recommend.base import UNRANKED
from models.recommend.two_stage.scorer import newest_first


class Ranked(tf.Module):
    """score: int32 [B, L], newest first, -1 after the last play, to float32 [B, I]. Arguments of the methods are those
    of every scorer; what is known of the moment changes nothing. There is no ``contributions``: such a model can not
    share out its score to plays exactly."""

    def __init__(self, score: Callable[[tf.Tensor], tf.Tensor], history: int, held: tf.Module | None = None):
        """held: whose variables ``score`` uses, where it is not a module itself."""
        super().__init__(name="ranked")
        self.score, self.history, self._held = score, history, held

    def ranked(self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor) -> tf.Tensor:
        """float32 [B, I], ``UNRANKED`` for the excluded tracks."""
        scores = self.score(newest_first(history, self.history))
        row = tf.broadcast_to(tf.range(tf.shape(exclude)[0])[:, None], tf.shape(exclude))
        cells = tf.boolean_mask(tf.stack([row, exclude], -1), exclude >= 0)
        return tf.tensor_scatter_nd_update(scores, cells, tf.fill([tf.shape(cells)[0]], UNRANKED))

    def candidate_scores(
        self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> tf.Tensor:
        """float32 [B, C], ``UNRANKED`` for -1."""
        scores = self.score(newest_first(history, self.history))
        found = tf.gather(scores, tf.maximum(candidates, 0), batch_dims=1)
        return tf.where(candidates >= 0, found, UNRANKED)
