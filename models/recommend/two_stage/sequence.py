"""A sequential model beside the counts: it finds candidates, and its opinion is added to the rankers'.

Added, not learned as a feature: of plays it has been trained on it knows more than of those to come, and trees that saw
it there trusted it wrongly (next NDCG@10 on a validation tail .366 as a feature, .374 added).
"""

from __future__ import annotations

import tensorflow as tf

from models.data import ListeningData
from models.recommend.base import Progress
from models.recommend.sequence.config import GRU4RecConfig


class SequenceSource(tf.Module):
    """Probability of each track to be played next, after GRU4Rec with copying."""

    def __init__(self, scorer: tf.Module, length: int):
        super().__init__(name="gru4rec")
        self.scorer, self.length = scorer, length

    @classmethod
    def fit(cls, data: ListeningData, config: GRU4RecConfig, progress: Progress | None = None) -> SequenceSource:
        from models.recommend.sequence.recommenders import GRU4Rec

        return cls(GRU4Rec(config).fit(data, progress).scorer, config.history)

    def __call__(self, history: tf.Tensor) -> tf.Tensor:
        """float32 [B, I] for history int32 [B, L], newest first, -1 after the last play."""
        return tf.exp(self.scorer(history[:, : self.length]))
