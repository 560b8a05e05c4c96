"""What a contextual ranker says of many moments, batch by batch, and how far its probabilities can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from models.recommend.base import UNRANKED
from models.recommend.two_stage.contextual_config import HEADS
from models.recommend.two_stage.examples import RankingExamples

if TYPE_CHECKING:
    from models.evaluation.calibration import Calibration
    from models.recommend.two_stage.contextual import ContextualRanker


class Answers:
    """A ranker asked about examples; traced once, so keep it while asking again.

    >>> Answers(ranker).scores(examples)          # float32 [Q, C]
    """

    def __init__(self, ranker: ContextualRanker, batch_size: int = 64):
        self.ranker, self._batch_size = ranker, batch_size

        def chances(*asked):
            heads = ranker.heads(*asked)
            return tf.stack([heads[name] for name in HEADS], -1)

        self._scores = tf.function(ranker, input_signature=ranker.signature())
        self._chances = tf.function(chances, input_signature=ranker.signature())

    def scores(self, examples: RankingExamples) -> np.ndarray:
        """float32 [Q, C]; ``UNRANKED`` where there is no candidate."""
        return np.where(examples.candidates >= 0, self._batches(self._scores, examples), UNRANKED).astype(np.float32)

    def chances(self, examples: RankingExamples) -> dict[str, np.ndarray]:
        """Head -> probability float32 [Q, C]."""
        found = self._batches(self._chances, examples)
        return {name: found[..., head] for head, name in enumerate(HEADS)}

    def calibration(self, examples: RankingExamples, resamples: int | None = None) -> dict[str, Calibration]:
        """Head -> calibration of its probabilities on the outcomes of other moments than those of training.

        Whole listeners are resampled. A head that was not learned, or whose outcomes here are all alike, is left out.
        """
        from models.evaluation.bootstrap import RESAMPLES
        from models.evaluation.calibration import calibration

        out, found, learned = {}, self.chances(examples), self.ranker.learned.numpy()
        for head, name in enumerate(HEADS):
            row, place = np.nonzero(examples.outcomes[..., head] >= 0)
            happened = examples.outcomes[row, place, head]
            if learned[head] and len(np.unique(happened)) == 2:
                out[name] = calibration(
                    name, found[name][row, place], happened, examples.users[row], resamples=resamples or RESAMPLES
                )
        return out

    def _batches(self, asked, examples: RankingExamples) -> np.ndarray:
        parts = []
        for start in range(0, len(examples), self._batch_size):
            batch = examples[start : start + self._batch_size]
            answer = asked(
                tf.constant(batch.history), tf.constant(batch.candidates),
                tf.constant(batch.features.astype(np.float32)), tf.constant(batch.context.astype(np.int32)),
                tf.constant(batch.profile.astype(np.int32)),
            )  # fmt: skip
            parts.append(answer.numpy())
        return np.concatenate(parts)
