"""Small parts the networks are made of."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


class Dense(tf.Module):
    """x W + b, over the last axis; ``scale`` 0 starts it as nothing."""

    def __init__(self, generator: np.random.Generator, inputs: int, outputs: int, name: str, scale: float = 1.0):
        super().__init__(name=name)
        start = scale * generator.normal(0.0, inputs**-0.5, (inputs, outputs))
        self.kernel = tf.Variable(start.astype(np.float32), name=f"{name}_kernel")
        self.bias = tf.Variable(np.zeros(outputs, np.float32), name=f"{name}_bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        if x.shape.rank == 2:
            return x @ self.kernel + self.bias
        flat = tf.reshape(x, [-1, self.kernel.shape[0]]) @ self.kernel + self.bias
        return tf.reshape(flat, like(x, self.kernel.shape[1]))


class Norm(tf.Module):
    """Layer normalisation (Ba et al. 2016)."""

    def __init__(self, dim: int, name: str):
        super().__init__(name=name)
        self.gain = tf.Variable(np.ones(dim, np.float32), name=f"{name}_gain")
        self.bias = tf.Variable(np.zeros(dim, np.float32), name=f"{name}_bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(x, -1, keepdims=True)
        x -= mean
        return x * tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) + 1e-6) * self.gain + self.bias


def like(x: tf.Tensor, *last: int) -> list | tf.Tensor:
    """For ``tf.reshape``: the axes of ``x`` with others in place of its last. Where at most one of them is not known
    beforehand no operation is needed to say so."""
    axes = x.shape[:-1].as_list()
    if axes.count(None) <= 1:
        return [-1 if n is None else n for n in axes] + list(last)
    return tf.concat([tf.shape(x)[:-1], last], 0)


def dropped(x: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
    """Dropout (in training alone)."""
    return tf.nn.dropout(x, rate) if training and rate else x


def looked_up(table: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """``tf.gather`` of a table that is also read whole: a variable that was gathered from is copied at every read."""
    return tf.gather(tf.convert_to_tensor(table), rows)


def steps(n: int, of: tf.Tensor, axis: int = 1) -> tuple:
    """(``n`` but at most the length of an axis, that length): numbers where the length is known beforehand."""
    length = of.shape[axis]
    if length is not None:
        return min(n, length), length
    length = tf.shape(of)[axis]
    return tf.minimum(n, length), length


def ages(length: tf.Tensor) -> tf.Tensor:
    """int32 [T, T]: how many plays before t the play s is, negative for a later one."""
    place = tf.range(length)
    return place[:, None] - place[None, :]


AGE_BUCKETS = 24


def age_buckets(age: tf.Tensor) -> tf.Tensor:
    """int32 in [0, 24): ages 0 to 7 on their own, then four buckets to each doubling."""
    age = tf.maximum(age, 0)
    coarse = 8 + tf.cast(4 * tf.math.log(tf.maximum(tf.cast(age, tf.float32), 8.0) / 8.0) / np.log(2.0), tf.int32)
    return tf.minimum(tf.where(age < 8, age, coarse), AGE_BUCKETS - 1)
