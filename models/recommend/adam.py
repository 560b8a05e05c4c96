"""Adam over whole variables by TensorFlow's fused kernel: one pass over an embedding table instead of ten."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class FusedAdam:
    """Kingma & Ba 2015. Steps are counted outside the graph: call ``apply`` inside it with ``powers()`` of outside."""

    def __init__(self, variables: Sequence[tf.Variable]):
        self._variables = list(variables)
        self._slots = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in self._variables]
        self._done = 0

    def powers(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Counts a step: the betas to its power, float32 scalars."""
        self._done += 1
        return tf.constant(BETA_1**self._done, tf.float32), tf.constant(BETA_2**self._done, tf.float32)

    def apply(self, gradients: Sequence, rate, power_1, power_2) -> None:
        """One update; sparse gradients are made dense, as every row's moments decay anyway."""
        for variable, gradient, (m, v) in zip(self._variables, gradients, self._slots, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle, m=m.handle, v=v.handle, beta1_power=power_1, beta2_power=power_2, lr=rate,
                beta1=BETA_1, beta2=BETA_2, epsilon=EPSILON, grad=tf.convert_to_tensor(gradient),
            )  # fmt: skip
