"""Integrated gradients (Sundararajan, Taly & Yan 2017): what each input of a network adds to its score.

The gradient is integrated along the straight line from a baseline, which stands for "nothing known", to the input,
times the way gone. The parts sum to the difference of the scores at both ends (completeness) but for the error of the
quadrature, which is returned beside them. Codes have no gradient: give what they select, or how much of it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Integrated(NamedTuple):
    """parts: float32 tensors shaped as the inputs; score, baseline: float32 [N…], the score at both ends; gap: sum of
    the parts - (score - baseline)."""

    parts: tuple[tf.Tensor, ...]
    score: tf.Tensor
    baseline: tf.Tensor
    gap: tf.Tensor


def integrated_gradients(
    score: Callable[..., tf.Tensor], inputs: Sequence[tf.Tensor], baselines: Sequence[tf.Tensor], steps: int = 32
) -> Integrated:
    """Attribute ``score(*inputs)``, float32 [N…], to the inputs, float32 [N…, …] each, whose first axes are those of
    the score; baselines: of shapes that broadcast to the inputs. Rows must not depend on each other.

    A Gauss-Legendre sum of ``steps`` terms: exact where the score is a polynomial of degree 2 ``steps`` along the way;
    where a rectifier has a kink there, the error falls as 1 / steps². Works eagerly and in a graph, in the memory of
    one step.
    """
    if len(inputs) != len(baselines):
        raise ValueError(f"integrated gradients: {len(inputs)} inputs, {len(baselines)} baselines; give one each")
    if steps < 1:
        raise ValueError(f"integrated gradients: steps {steps} is below 1")
    ends = [tf.cast(x, tf.float32) for x in inputs]
    starts = [tf.broadcast_to(tf.cast(b, tf.float32), tf.shape(x)) for b, x in zip(baselines, ends, strict=True)]
    ways = [end - start for start, end in zip(starts, ends, strict=True)]
    places, shares = quadrature(steps)

    def step(at, *total):
        points = [start + places[at] * way for start, way in zip(starts, ways, strict=True)]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            value = score(*points)
        found = tape.gradient(value, points, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return (at + 1, *(t + shares[at] * tf.convert_to_tensor(g) for t, g in zip(total, found, strict=True)))

    _, *slopes = tf.while_loop(
        lambda at, *_: at < steps, step, (tf.constant(0), *(tf.zeros_like(x) for x in ends)), parallel_iterations=1
    )
    parts = tuple(way * slope for way, slope in zip(ways, slopes, strict=True))
    high, low = score(*ends), score(*starts)
    rank = len(high.shape)
    summed = tf.add_n([tf.reduce_sum(p, list(range(rank, len(p.shape)))) for p in parts])
    return Integrated(parts, high, low, summed - (high - low))


def quadrature(steps: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Places between 0 and 1 and the shares of what is found there, float32 [steps] each (Gauss-Legendre)."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return tf.constant((nodes + 1) / 2, tf.float32), tf.constant(weights / 2, tf.float32)
