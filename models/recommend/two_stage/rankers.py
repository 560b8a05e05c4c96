"""The second stage's two rankers behind one face: LambdaMART over evidence and moment, and the contextual network.

Both score a moment's candidates, and both can say what made a score: trees by exact Shapley values, the network by
integrated gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.context import FIELDS
from models.context.wire import KEYS, MOMENT
from models.data import Catalogue
from models.recommend.two_stage.context_features import ContextFeatures
from models.recommend.two_stage.contextual import ContextualRanker
from models.recommend.two_stage.contextual_attribution import ATTRIBUTES, contextual_parts
from models.recommend.two_stage.contextual_transfer import over
from models.recommend.two_stage.trees import Trees


class Parts(NamedTuple):
    """What made the scores of candidates; together they sum to them.

    features: float32 [B, C, F], by feature of the first stage; plays: float32 [B, C, L], by play where the ranker looks
    at plays itself; moment: float32 [B, C, ``MOMENT`` + 1], by field of ``KEYS``, last of the fields together;
    attributes: float32 [B, C, len(ATTRIBUTES)], of the candidate itself; rest: float32 [B, C], what is there before
    anything is known.
    """

    features: tf.Tensor
    plays: tf.Tensor
    moment: tf.Tensor
    attributes: tf.Tensor
    rest: tf.Tensor

    @classmethod
    def none(cls, features: tf.Tensor, plays: int) -> Parts:
        """Nothing at all of candidates with ``features`` [B, C, F] and so many plays."""
        shape = tf.shape(features)[:2]
        sizes = plays, MOMENT + 1, len(ATTRIBUTES)
        return cls(tf.zeros_like(features), *(tf.zeros(tf.concat([shape, [n]], 0)) for n in sizes), tf.zeros(shape))

    def where(self, mask: tf.Tensor, other: Parts) -> Parts:
        """These where mask (bool [B]), the other ones elsewhere."""
        return Parts(*(tf.where(tf.reshape(mask, [-1] + [1] * (a.shape.rank - 1)), a, b)
                       for a, b in zip(self, other, strict=True)))  # fmt: skip


class TreeRanker(tf.Module):
    """LambdaMART. Arguments of both rankers: plays int32 [B, L], newest first; moment int32 [B, ``MOMENT``], codes;
    candidates int32 [B, C]; features float32 [B, C, F] of the first stage."""

    def __init__(self, trees: Trees, extra: ContextFeatures):
        super().__init__(name="lambdamart")
        self.trees, self.extra = trees, extra
        self.of_field = tf.Variable(field_of(extra.names), trainable=False, name="of_field")

    def over(self, extra: ContextFeatures, mine: Catalogue, theirs: Catalogue) -> TreeRanker:
        """The same trees over what other plays say of moments; raises ValueError where they name other columns."""
        if extra.names != self.extra.names:
            raise ValueError(
                f"two_stage: the trees know the moment by {self.extra.names}, the plays by {extra.names}; fit anew"
            )
        return TreeRanker(self.trees, extra)

    def __call__(self, plays: tf.Tensor, moment: tf.Tensor, candidates: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        rows = self._rows(moment, candidates, features)
        return tf.reshape(self.trees(rows), tf.shape(candidates))

    def parts(self, plays: tf.Tensor, moment: tf.Tensor, candidates: tf.Tensor, features: tf.Tensor) -> Parts:
        """Exact Shapley values; a row takes some ten megabytes on the way, so they come one by one."""
        rows = self._rows(moment, candidates, features)
        spec = tf.TensorSpec([rows.shape[-1] + 1], tf.float32)
        values = tf.map_fn(lambda row: self.trees.shapley(row[None])[0], rows, fn_output_signature=spec)
        shape, n = tf.shape(candidates), features.shape[-1]
        values = tf.reshape(values, [shape[0], shape[1], rows.shape[-1] + 1])
        by_field = tf.matmul(values[..., n:-1], tf.one_hot(self.of_field, MOMENT + 1))
        nothing = Parts.none(features, plays.shape[1])
        return nothing._replace(features=values[..., :n], moment=by_field, rest=values[..., -1])

    def _rows(self, moment: tf.Tensor, candidates: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        whole = tf.concat([features, self.extra(candidates, moment[:, : len(FIELDS)])], -1)
        return tf.reshape(whole, [-1, features.shape[-1] + len(self.extra.names)])


class NetworkRanker(tf.Module):
    """The contextual network."""

    def __init__(self, network: ContextualRanker):
        super().__init__(name="network")
        self.network = network

    def over(self, extra: ContextFeatures, mine: Catalogue, theirs: Catalogue) -> NetworkRanker:
        """The same network over another catalogue."""
        if theirs is mine or np.array_equal(theirs.ids, mine.ids):
            return self
        return NetworkRanker(over(self.network, mine, theirs))

    def __call__(self, plays: tf.Tensor, moment: tf.Tensor, candidates: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        return self.network(plays, candidates, features, *_sides(moment))

    def parts(self, plays: tf.Tensor, moment: tf.Tensor, candidates: tf.Tensor, features: tf.Tensor) -> Parts:
        """Integrated gradients from nothing known, see :mod:`models.recommend.two_stage.contextual_attribution`. What
        the sum of its steps leaves over is in the rest."""
        found = contextual_parts(self.network, plays, candidates, features, *_sides(moment))
        by_play = tf.pad(found.plays, [[0, 0], [0, 0], [0, plays.shape[1] - self.network.config.history]])
        by_field = tf.pad(found.fields, [[0, 0], [0, 0], [0, 1]])
        return Parts(found.features, by_play, by_field, found.attributes, found.base)


def _sides(moment: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return moment[:, : len(FIELDS)], moment[:, len(FIELDS) :]


def field_of(names: tuple[str, ...]) -> np.ndarray:
    """int32 [columns]: the field (a place in ``KEYS``) that each column of the moment speaks of, ``MOMENT`` for all."""
    out = []
    for name in names:
        told = [at for at, key in enumerate(KEYS) if name.endswith(f"_suits_{key}") or name.split("_")[0] == key]
        out.append(told[0] if told else MOMENT)
    return np.asarray(out, np.int32).reshape(-1)
