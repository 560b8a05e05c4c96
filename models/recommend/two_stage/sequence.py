"""A sequential model beside the counts: it finds candidates, and its opinion is added to the rankers'.

Added, not learned as a feature: of plays it has been trained on it knows more than of those to come, and trees that saw
it there trusted it wrongly (next NDCG@10 on a validation tail .366 as a feature, .374 added).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from models.data import ListeningData
from models.recommend.base import Progress
from models.recommend.sequence.config import GRU4RecConfig

if TYPE_CHECKING:
    from models.recommend.sequence.recommenders import GRU4Rec


class SequenceSource(tf.Module):
    """Probability of each track to be played next, after GRU4Rec with copying."""

    def __init__(self, model: GRU4Rec):
        super().__init__(name="gru4rec")
        self.model, self.scorer, self.length = model, model.scorer, model.config.history
        self.scorer.network.encoder.fuse()

    @classmethod
    def fit(cls, data: ListeningData, config: GRU4RecConfig, progress: Progress | None = None) -> SequenceSource:
        from models.recommend.sequence.recommenders import GRU4Rec

        return cls(GRU4Rec(config).fit(data, progress))

    def refit(self, data: ListeningData, progress: Progress | None = None) -> SequenceSource:
        """Of other plays, from what this one has learned."""
        return SequenceSource(self.model.refit(data, progress))

    def __call__(self, history: tf.Tensor) -> tf.Tensor:
        """float32 [B, I] for history int32 [B, L], newest first, -1 after the last play."""
        return self.scorer.chances(history[:, : self.length])

    def vector(self, history: tf.Tensor) -> tf.Tensor:
        """float32 [B, D]: what is sought, as a vector beside those of :meth:`item_vectors`; history as when called."""
        return self.scorer.vector(history[:, : self.length])

    def item_vectors(self) -> np.ndarray:
        """float32 [I, D]: of each track, the last number its bias."""
        return self.scorer.item_vectors()
