"""One loop for what learns from another model's scores: students, and models that are being pruned."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from models.recommend.adam import FusedAdam
from models.recommend.two_stage.student_training import distillation_loss

CLIP = 1.0


@dataclass(frozen=True)
class TeachingConfig:
    """epochs: passes; learning_rate: at the start, it falls by a cosine; temperature, level: see
    :mod:`models.recommend.two_stage.student_training`."""

    epochs: int
    learning_rate: float
    temperature: float = 1.0
    level: float = 0.0


def teach(
    student: Callable,
    teacher: Callable,
    there: Callable,
    variables: Sequence[tf.Variable],
    signature: Sequence[tf.TensorSpec],
    batches: Callable[[], Iterable[Sequence[np.ndarray]]],
    steps: int,
    config: TeachingConfig,
    after: Callable | None = None,
    progress: Callable | None = None,
) -> None:
    """Move ``variables`` until ``student`` scores as ``teacher`` does: both take the arrays of a batch and give float32
    [B, C]; ``there`` says of which candidates, bool [B, C].

    batches: a pass in random order, of ``steps`` batches; after: called with the number of steps done; progress: gets
    ``epoch`` and ``loss`` (nats). Raises FloatingPointError where the loss stops being a number.
    """
    variables, adam, done = list(variables), FusedAdam(variables), 0

    @tf.function(input_signature=[*signature, *[tf.TensorSpec([], tf.float32)] * 3])
    def update(*given):
        *asked, rate, power_1, power_2 = given
        wanted, known = teacher(*asked), there(*asked)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss = distillation_loss(student(*asked), wanted, known, config.temperature, config.level)
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        gradients, _ = tf.clip_by_global_norm([tf.convert_to_tensor(g) for g in gradients], CLIP)
        adam.apply(gradients, rate, power_1, power_2)
        return loss

    whole = max(1, steps * config.epochs)
    for epoch in range(1, config.epochs + 1):
        losses = []
        for batch in batches():
            rate = config.learning_rate * (0.51 + 0.49 * math.cos(math.pi * min(1.0, done / whole)))
            losses.append(float(update(*map(tf.constant, batch), tf.constant(rate, tf.float32), *adam.powers())))
            done += 1
            if after is not None:
                after(done)
        loss = float(np.mean(losses))
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"compress: the loss became {loss}; lower learning_rate, now {config.learning_rate}"
            )
        if progress is not None:
            progress({"epoch": epoch, "loss": loss})
