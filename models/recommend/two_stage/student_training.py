"""Distillation of a ranker into a network over rows: soft targets over the candidates of a moment.

    loss = T² KL(softmax(teacher / T) || softmax(student / T)) + level * mean over the candidates of
           ((student - its mean) - (teacher - its mean))²,

the first term listwise over the candidates of a moment (Hinton et al. 2015; Cao et al. 2007 for lists).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from models.recommend.adam import FusedAdam
from models.recommend.two_stage.contextual_parts import MASKED
from models.recommend.two_stage.groundwork import Part
from models.recommend.two_stage.rankers import TreeRanker
from models.recommend.two_stage.student import Progress, Ramps, RowNetwork
from models.recommend.two_stage.student_config import StudentConfig

SAMPLE = 100_000
"""Rows that say how the features are spread."""


class SoftMoments:
    """Moments with what a teacher says of their candidates; drawn once, gone through in every epoch.

    Rows are put together a batch at a time: in memory are the examples and the scores.
    """

    def __init__(self, score: Callable, parts: Sequence[Part], limit: int, rng: np.random.Generator):
        """score: rows float32 [N, F] -> float32 [N]; limit: moments of all parts together."""
        self.parts = list(parts)
        n = np.array([len(part.examples) for part in self.parts])
        if not n.sum():
            raise ValueError("student: there is no moment to learn from; ingest more events")
        share = np.minimum(n, np.ceil(limit * n / n.sum()).astype(int))
        self.drawn = [np.sort(rng.choice(a, b, replace=False)) for a, b in zip(n, share, strict=True)]
        self.scores = [np.concatenate([self._asked(score, part, rows) for rows in _chunks(drawn, 128)])
                       for part, drawn in enumerate(self.drawn)]  # fmt: skip

    def __len__(self) -> int:
        return sum(len(drawn) for drawn in self.drawn)

    def steps(self, size: int) -> int:
        """Batches of ``size`` in one pass."""
        return sum(-(-len(drawn) // size) for drawn in self.drawn)

    def rows(self, part: int, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(float32 [Q, C, F], which of the candidates are there bool [Q, C]) of moments of a part."""
        examples, extra = self.parts[part]
        asked = examples[which]
        context = tf.constant(asked.context.astype(np.int32))
        columns = extra(tf.constant(asked.candidates, tf.int32), context).numpy()
        whole = np.concatenate([asked.features.astype(np.float32), columns], -1)
        return whole, asked.candidates >= 0

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """float32 [R, F]: rows of some of the moments."""
        found = []
        for part, drawn in enumerate(self.drawn):
            n = max(1, SAMPLE * len(drawn) // (len(self) * self.parts[part].examples.candidates.shape[1]))
            rows, there = self.rows(part, np.sort(rng.choice(drawn, min(len(drawn), n), replace=False)))
            found.append(rows[there])
        return np.concatenate(found)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(rows, there, scores) of all moments in random order; a batch is of one part."""
        todo = [
            (part, at) for part, drawn in enumerate(self.drawn) for at in _chunks(rng.permutation(len(drawn)), size)
        ]
        for place in rng.permutation(len(todo)):
            part, at = todo[place]
            yield *self.rows(part, self.drawn[part][at]), self.scores[part][at]

    def _asked(self, score: Callable, part: int, which: np.ndarray) -> np.ndarray:
        rows, there = self.rows(part, which)
        return np.asarray(score(tf.constant(rows.reshape(-1, rows.shape[-1])))).reshape(there.shape)


class Distillation:
    """Steps of Adam with decoupled weight decay on ``network``, whose rate falls by a cosine.

    ``after``: called after every step, with the number of steps done, such as to put a mask on weights again.
    """

    def __init__(self, network: RowNetwork, config: StudentConfig, steps: int, after: Callable | None = None):
        self.network, self.config, self._after = network, config, after
        self._steps, self._done = max(1, steps), 0
        self._variables = list(network.trainable_variables)
        self._adam = FusedAdam(self._variables)
        pair, scalar = [None, None], tf.TensorSpec([], tf.float32)
        rows = tf.TensorSpec([*pair, network.n_features], tf.float32)
        self._step = tf.function(
            self._update,
            input_signature=[rows, tf.TensorSpec(pair, tf.bool), tf.TensorSpec(pair, tf.float32), *[scalar] * 3],
        )

    def epoch(self, moments: SoftMoments, rng: np.random.Generator) -> float:
        """One pass -> mean loss of a moment; raises FloatingPointError where it stops being a number."""
        losses = []
        for rows, there, scores in moments.batches(self.config.batch_size, rng):
            rate = self.config.learning_rate * (0.51 + 0.49 * math.cos(math.pi * min(1.0, self._done / self._steps)))
            losses.append(float(self._step(rows, there, scores, tf.constant(rate, tf.float32), *self._adam.powers())))
            self._done += 1
            if self._after is not None:
                self._after(self._done)
        loss = float(np.mean(losses))
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"student: the loss became {loss}; lower StudentConfig.learning_rate, now {self.config.learning_rate}"
            )
        return loss

    def _update(self, rows, there, scores, rate, power_1, power_2):
        with tf.GradientTape() as tape:
            loss = distillation_loss(self.network(rows), scores, there, self.config.temperature, self.config.level)
        gradients = tape.gradient(loss, self._variables)
        self._adam.apply(gradients, rate, power_1, power_2)
        for variable in self._variables:
            if len(variable.shape) > 1:
                variable.assign_sub(rate * self.config.weight_decay * variable)
        return loss


def distillation_loss(student: tf.Tensor, teacher: tf.Tensor, there: tf.Tensor, temperature: float, level: float):
    """Scalar, mean over the moments: scores float32 [Q, C] of the candidates that are there (bool [Q, C])."""
    target = tf.nn.softmax(tf.where(there, teacher / temperature, MASKED))
    found = tf.nn.log_softmax(tf.where(there, student / temperature, MASKED))
    divergence = tf.reduce_sum(tf.where(there, target * (tf.math.log(target + 1e-12) - found), 0.0), 1)
    known = tf.cast(there, tf.float32)
    n = tf.maximum(tf.reduce_sum(known, 1, keepdims=True), 1.0)
    apart = (student - teacher) * known
    apart = (apart - tf.reduce_sum(apart, 1, keepdims=True) / n) * known
    squared = tf.reduce_sum(apart**2, 1) / n[:, 0]
    return tf.reduce_mean(temperature**2 * divergence + level * squared)


def distilled(
    teacher: TreeRanker, parts: Sequence[Part], config: StudentConfig, progress: Progress | None = None
) -> RowNetwork:
    """The network of :meth:`StudentRanker.distil`, its scores on the teacher's level."""
    rng, started = np.random.default_rng(config.seed), time.monotonic()
    moments = SoftMoments(tf.function(teacher.trees, reduce_retracing=True), parts, config.moments, rng)
    network = RowNetwork(Ramps.of_trees(teacher.trees, moments.sample(rng), config.bins), config.hidden, config.seed)
    steps = config.epochs * moments.steps(config.batch_size)
    learning = Distillation(network, config, steps)
    for epoch in range(1, config.epochs + 1):
        loss = learning.epoch(moments, rng)
        if progress is not None:
            progress({"epoch": epoch, "loss": loss, "seconds": time.monotonic() - started})
    rows, there, scores = next(moments.batches(256, rng))
    network.layers[-1][1].assign_add([float(np.mean((scores - network(rows).numpy())[there]))])
    return network


def _chunks(values: np.ndarray, size: int) -> list[np.ndarray]:
    return [values[start : start + size] for start in range(0, len(values), size)]
