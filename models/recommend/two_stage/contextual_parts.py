"""Parts of the contextual ranker: numbers as pieces, fields as embeddings, attention that may look at nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

MASKED = -1e9
SAMPLE = 200_000
"""Rows that the pieces of the features are fitted on."""


class Pieces(tf.Module):
    """Features as numbers a network can read, fitted on training rows.

    Each feature becomes asinh((x - median) / spread), and ``bins`` values that say how far x has come through each
    piece of its range (piecewise linear encoding, Gorishniy et al. 2022, "On embeddings for numerical features in
    tabular deep learning"). Counts are mostly 0, so median, spread and edges are those of the values that differ from
    the most frequent one, which is an edge itself.
    """

    def __init__(self, low: np.ndarray, width: np.ndarray, centre: np.ndarray, spread: np.ndarray):
        super().__init__(name="pieces")
        self.bins = low.shape[1]
        values = {"low": low, "width": width, "centre": centre, "spread": spread}
        for name, value in values.items():
            setattr(self, name, tf.Variable(value.astype(np.float32), trainable=False, name=name))

    @classmethod
    def fit(cls, rows: np.ndarray, bins: int, rng: np.random.Generator) -> Pieces:
        """rows: float [R, F]."""
        if len(rows) > SAMPLE:
            rows = rows[rng.choice(len(rows), SAMPLE, replace=False)]
        n = rows.shape[1]
        low, width = np.zeros((n, bins)), np.full((n, bins), np.inf)
        centre, spread = np.zeros(n), np.ones(n)
        for f in range(n):
            column = rows[:, f].astype(np.float64)
            value, count = np.unique(column, return_counts=True)
            mode = value[count.argmax()]
            other = column[column != mode] if count.max() > len(column) / 10 else column
            if not len(other):
                centre[f] = mode
                continue
            edges = np.unique(np.append(np.quantile(other, np.linspace(0, 1, bins)), mode))
            if len(edges) > 1:
                low[f, : len(edges) - 1], width[f, : len(edges) - 1] = edges[:-1], np.diff(edges)
            centre[f] = np.median(column)
            spread[f] = np.median(np.abs(other - centre[f])) or 1.0
        return cls(low, width, centre, spread)

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        """float32 [..., F] -> float32 [..., F * (bins + 1)]."""
        smooth = tf.math.asinh((features - self.centre) / self.spread)
        through = tf.clip_by_value((features[..., None] - self.low) / self.width, 0.0, 1.0)
        flat = tf.reshape(through, tf.concat([tf.shape(features)[:-1], [self.low.shape[0] * self.bins]], 0))
        return tf.concat([smooth, flat], -1)


class Fields(tf.Module):
    """Embeddings of categorical fields; what is unknown, or was too rare in training, contributes nothing."""

    def __init__(self, sizes: Sequence[int], usable: Sequence[np.ndarray], dim: int, rng: np.random.Generator, scale):
        super().__init__(name="fields")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
        self.sizes = tf.Variable(np.asarray(sizes, np.int32), trainable=False, name="sizes")
        self.starts = tf.Variable(starts, trainable=False, name="starts")
        known = np.concatenate([*usable, [False]]).astype(np.float32)
        self.usable = tf.Variable(known, trainable=False, name="usable")
        start = rng.normal(0, scale, (len(known), dim)).astype(np.float32)
        self.table = tf.Variable(start, name="fields")

    def __call__(self, codes: tf.Tensor) -> tf.Tensor:
        """float32 [B, S, D] of codes int32 [B, S]; 0 where unknown."""
        return tf.gather(self.table, self._rows(codes)) * self.known(codes)[..., None]

    def known(self, codes: tf.Tensor) -> tf.Tensor:
        """float32 [B, S]: 1 where the field says something."""
        return tf.gather(self.usable, self._rows(codes))

    def _rows(self, codes: tf.Tensor) -> tf.Tensor:
        inside = (codes >= 0) & (codes < self.sizes)
        return tf.where(inside, codes + self.starts, tf.shape(self.table)[0] - 1)


class Attention(tf.Module):
    """Slots asked by candidates, with an empty slot beside them: where nothing is known the answer is 0, and a slot
    that is not known takes no weight from the others."""

    def __init__(self, slots: int, dim: int, rng: np.random.Generator, name: str):
        super().__init__(name=name)
        self.match = tf.Variable(rng.normal(0, dim**-0.5, (dim, dim)).astype(np.float32), name=f"{name}_match")
        self.prior = tf.Variable(tf.zeros([slots]), name=f"{name}_prior")
        self.value = tf.Variable(np.eye(dim, dtype=np.float32), name=f"{name}_value")

    def weights(self, candidates: tf.Tensor, slots: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, S], at most 1 in sum: candidates [B, C, D], slots [B, S, D], known [B, 1 or C, S], 0
        to 1."""
        asked = tf.einsum("bcd,de->bce", candidates, self.match)
        logits = tf.matmul(asked, slots, transpose_b=True) + self.prior[: tf.shape(slots)[1]]
        logits = tf.where(known > 0, logits, MASKED)
        highest = tf.stop_gradient(tf.maximum(tf.reduce_max(logits, -1, keepdims=True), 0.0))
        share = tf.exp(logits - highest) * known
        return share / (tf.exp(-highest) + tf.reduce_sum(share, -1, keepdims=True))

    def __call__(self, candidates: tf.Tensor, slots: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, D]."""
        return tf.matmul(self.weights(candidates, slots, known), tf.einsum("bsd,de->bse", slots, self.value))
