"""The trees' student: a small network in the place of LambdaMART, distilled from its scores.

It reads the rows that the trees read and answers as they do (Hinton, Vinyals & Dean 2015, "Distilling the knowledge in
a neural network"; for ranking by trees Cohen et al. 2018, "Universal approximation functions for fast learning to
rank"): a matrix product instead of a walk down hundreds of trees. See
:mod:`models.recommend.two_stage.student_training` for how it learns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from models.context import FIELDS
from models.context.wire import MOMENT
from models.data import Catalogue
from models.recommend.integrated_gradients import quadrature
from models.recommend.sequence.layers import like
from models.recommend.two_stage.context_features import ContextFeatures
from models.recommend.two_stage.groundwork import Part
from models.recommend.two_stage.rankers import Parts, TreeRanker, field_of
from models.recommend.two_stage.student_config import StudentConfig
from models.recommend.two_stage.trees import Trees

STEPS = 32
"""Of integrated gradients."""
Progress = Callable[[Mapping[str, float]], None]


class Ramps(tf.Module):
    """How far each feature has come through each piece of its range, 0 to 1: a piecewise linear encoding (Gorishniy et
    al. 2022, "On embeddings for numerical features in tabular deep learning") of the range where the teacher looks.

    Made of subtraction, product and clipping alone, which every runtime has, and bounded, which an int8 likes.
    """

    def __init__(self, low: np.ndarray, width: np.ndarray, centre: np.ndarray):
        """low, width: float [F, bins], width infinite for a piece that is not there; centre: float [F], medians."""
        super().__init__(name="ramps")
        self.bins, self.n_features = low.shape[1], low.shape[0]
        values = {"low": low, "slope": 1.0 / np.asarray(width, np.float64), "centre": centre}
        for name, value in values.items():
            setattr(self, name, tf.Variable(np.asarray(value, np.float32), trainable=False, name=name))

    @classmethod
    def of_trees(cls, trees: Trees, rows: np.ndarray, bins: int) -> Ramps:
        """Edges at quantiles of the splits of each feature: between two splits trees see no difference. rows: float
        [R, F], of which the medians are."""
        left, feature, threshold = (trees.arrays[name].numpy() for name in ("left", "feature", "threshold"))
        inner = left != np.arange(len(left))
        feature, threshold = feature[inner], threshold[inner]
        low, width = np.zeros((rows.shape[1], bins)), np.full((rows.shape[1], bins), np.inf)
        for f in np.unique(feature):
            edges = np.unique(np.quantile(threshold[feature == f].astype(np.float64), np.linspace(0, 1, bins + 1)))
            if len(edges) == 1:  # a single split: a step as wide as the values are apart
                edges = edges[0] + np.array([-0.5, 0.5]) * (rows[:, f].std() * 0.1 + 1e-6)
            low[f, : len(edges) - 1], width[f, : len(edges) - 1] = edges[:-1], np.diff(edges)
        return cls(low, width, np.median(rows, 0))

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 [..., F] -> float32 [..., bins * F], the first pieces of all features first: rows beside each other
        are copied and not spread."""
        low, slope = (tf.reshape(tf.transpose(part), [-1]) for part in (self.low, self.slope))
        return tf.clip_by_value((tf.concat([rows] * self.bins, -1) - low) * slope, 0.0, 1.0)

    def by_feature(self, pieces: tf.Tensor) -> tf.Tensor:
        """float32 [..., F]: the sums of values by piece, float32 [..., bins * F]."""
        return tf.reduce_sum(tf.reshape(pieces, like(pieces, self.bins, self.n_features)), -2)


class RowNetwork(tf.Module):
    """Scores rows of features each for itself: how far they are through their ranges, then rectified layers.

    >>> RowNetwork(Ramps.of_trees(trees, rows, 4), (64, 32), seed=0)(rows)          # float32 [..., F] -> float32 [...]
    """

    def __init__(self, ramps: Ramps, hidden: Sequence[int], seed: int = 0):
        super().__init__(name="row_network")
        rng, self.ramps = np.random.default_rng(seed), ramps
        self.n_features = ramps.n_features
        inputs, self.layers = self.n_features * ramps.bins, []
        for n, width in enumerate((*hidden, 1)):
            start = rng.normal(0, (2 / inputs) ** 0.5, (inputs, width)).astype(np.float32)
            start *= 0.1 if n == len(hidden) else 1.0
            self.layers.append(
                (tf.Variable(start, name=f"layer_{n}"), tf.Variable(tf.zeros([width]), name=f"bias_{n}"))
            )
            inputs = width

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the layers but the last."""
        return tuple(int(weights.shape[1]) for weights, _ in self.layers[:-1])

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        return self.of_ramps(self.ramps(rows))

    def of_ramps(self, encoded: tf.Tensor) -> tf.Tensor:
        """float32 [...] of encoded rows, float32 [..., bins * F]."""
        weights, bias = self.layers[0]
        return self._above(tf.tensordot(encoded, weights, 1) + bias)

    def slopes(self, start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        """float32 [..., bins * F]: the gradient of :meth:`of_ramps`, integrated along the straight way between encoded
        rows (Sundararajan et al. 2017) in ``STEPS`` steps.

        The first layer's sums change evenly along the way, so only the layers above it are asked at every step.
        """
        weights, bias = self.layers[0]
        first, last = (tf.tensordot(x, weights, 1) + bias for x in (start, end))
        places, shares = quadrature(STEPS)
        sums = first + tf.tensordot(places, last - first, 0)  # [STEPS, ..., width]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sums)
            scores = self._above(sums)
        slopes = tf.tensordot(shares, tape.gradient(scores, sums), 1)
        return tf.tensordot(slopes, tf.transpose(weights), 1)

    def _above(self, sums: tf.Tensor) -> tf.Tensor:
        """float32 [...] of the first layer's sums, float32 [..., width]."""
        for weights, bias in self.layers[1:]:
            sums = tf.tensordot(tf.nn.relu(sums), weights, 1) + bias
        return sums[..., 0]


class StudentRanker(tf.Module):
    """Takes the place of :class:`TreeRanker`: the same arguments, the same answers but for what it failed to learn.

    >>> student = StudentRanker.distil(ranker, ground.parts["next"])
    >>> student(plays, moment, candidates, features)                                            # float32 [B, C]
    """

    def __init__(self, network: RowNetwork, extra: ContextFeatures):
        super().__init__(name="student")
        self.network, self.extra = network, extra
        self.of_field = tf.Variable(field_of(extra.names), trainable=False, name="of_field")

    @classmethod
    def distil(
        cls,
        teacher: TreeRanker,
        parts: Sequence[Part],
        config: StudentConfig | None = None,
        progress: Progress | None = None,
    ) -> StudentRanker:
        """Of the trees and the examples of their task; ``progress`` gets ``epoch`` (from 1), ``loss`` and ``seconds``.

        Which candidate was right is not looked at: only what the trees say of all of them.
        """
        from models.recommend.two_stage.student_training import distilled

        return cls(distilled(teacher, parts, config or StudentConfig(), progress), teacher.extra)

    def over(self, extra: ContextFeatures, mine: Catalogue, theirs: Catalogue) -> StudentRanker:
        """The same network over what other plays say of moments; raises ValueError where they name other columns."""
        if extra.names != self.extra.names:
            raise ValueError(
                f"two_stage: the student knows the moment by {self.extra.names}, the plays by {extra.names}; fit anew"
            )
        return StudentRanker(self.network, extra)

    def __call__(self, plays: tf.Tensor, moment: tf.Tensor, candidates: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        return self.network(self.rows(moment, candidates, features))

    def rows(self, moment: tf.Tensor, candidates: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, F + columns of the moment]: what the network reads."""
        return tf.concat([features, self.extra(candidates, moment[:, : len(FIELDS)])], -1)

    def parts(self, plays: tf.Tensor, moment: tf.Tensor, candidates: tf.Tensor, features: tf.Tensor) -> Parts:
        """Integrated gradients from a candidate whose every feature is at its median.

        They sum to the score exactly, since what the quadrature leaves over is put into the rest; each part is exact
        but for that error, which falls as 1 / ``STEPS``² (the way through a rectified network has kinks).
        """
        ramps, n = self.network.ramps, features.shape[-1]
        encoded, centre = ramps(self.rows(moment, candidates, features)), ramps(ramps.centre)
        pieces = (encoded - centre) * self.network.slopes(centre, encoded)
        values = ramps.by_feature(pieces)
        by_field = tf.matmul(values[..., n:], tf.one_hot(self.of_field, MOMENT + 1))
        rest = self.network.of_ramps(encoded) - tf.reduce_sum(values, -1)
        return Parts.none(features, plays.shape[1])._replace(features=values[..., :n], moment=by_field, rest=rest)
