"""Models that score the whole catalogue from plays, in the form that the exported signatures ask."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from models.recommend.served import newest_first, of_candidates, without


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
        return without(self.score(newest_first(history, self.history)), exclude)

    def candidate_scores(
        self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> tf.Tensor:
        """float32 [B, C], ``UNRANKED`` for -1."""
        return of_candidates(self.score(newest_first(history, self.history)), candidates)
