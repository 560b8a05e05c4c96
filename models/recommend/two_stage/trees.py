"""Gradient-boosted trees in TensorFlow: what XGBoost learned, as tensors, with exact Shapley values.

So that a model of trees is served like any other SavedModel. Trees are walked level by level for all rows at once; the
Shapley values are those of path-dependent TreeSHAP (Lundberg, Erion & Lee 2018, "Consistent individualized feature
attribution for tree ensembles"), computed leaf by leaf instead of by recursion: for the features on the way to a leaf,
with o = 1 where the row agrees with the feature's splits and z = the share of training rows that do,

    phi_j = sum over leaves of value * (o_j - z_j) * sum over subsets S of the others of
            |S|! (d - |S| - 1)! / d! * product of o in S * product of z outside S.

The inner sum is read off the coefficients of the polynomial product of (z_k + o_k t).
"""

from __future__ import annotations

import json
from math import factorial

import numpy as np
import tensorflow as tf


class Trees(tf.Module):
    """The sum of trees over rows of features.

    >>> Trees.of(booster.save_raw("json"))(features)          # float32 [N, F] -> float32 [N]
    """

    def __init__(self, arrays: dict[str, np.ndarray], base: float):
        super().__init__(name="trees")
        self.base = tf.Variable(np.float32(base), trainable=False, name="base")
        self.depth = int(arrays.pop("depth"))
        self.arrays = {name: tf.Variable(value, trainable=False, name=name) for name, value in arrays.items()}

    @classmethod
    def of(cls, raw: bytes) -> Trees:
        """From ``booster.save_raw("json")``; raises ValueError where a split is categorical."""
        learner = json.loads(bytes(raw))["learner"]
        base = learner["learner_model_param"]["base_score"].strip("[]")
        trees = [_Tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
        return cls(_stacked(trees), float(base))

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        """float32 [N]: scores of features float32 [N, F], none missing."""
        arrays, n = self.arrays, tf.shape(features)[0]
        node = tf.zeros([n, 1], tf.int32) + arrays["root"][None]
        for _ in range(self.depth):
            value = tf.gather(features, tf.gather(arrays["feature"], node), batch_dims=1)
            left = value < tf.gather(arrays["threshold"], node)
            node = tf.where(left, tf.gather(arrays["left"], node), tf.gather(arrays["right"], node))
        return tf.reduce_sum(tf.gather(arrays["value"], node), 1) + self.base

    def shapley(self, features: tf.Tensor) -> tf.Tensor:
        """float32 [N, F + 1]: each feature's part of the score; last, the expected score. They sum to the score."""
        arrays = self.arrays
        value = tf.gather(features, tf.maximum(arrays["path_feature"], 0), axis=1)  # [N, leaves, D]
        agrees = (value >= arrays["path_low"]) & (value < arrays["path_high"])
        used = arrays["path_feature"] >= 0
        one = tf.cast(agrees | ~used, tf.float32)
        zero = tf.where(used, arrays["path_cover"], 1.0)
        parts = self._marginal(one, zero) * (one - zero) * arrays["path_value"][None, :, None]
        n, width = tf.shape(features)[0], tf.shape(features)[1]
        feature = tf.where(used, arrays["path_feature"], width)
        by_feature = tf.math.unsorted_segment_sum(
            tf.reshape(tf.transpose(parts, [1, 2, 0]), [-1, n]), tf.reshape(feature, [-1]), width + 1
        )
        expected = tf.reduce_sum(arrays["path_value"] * tf.reduce_prod(zero, -1)) + self.base
        return tf.concat([tf.transpose(by_feature[:-1]), tf.fill([n, 1], expected)], 1)

    def _marginal(self, one: tf.Tensor, zero: tf.Tensor) -> tf.Tensor:
        """float32 [N, leaves, D]: the inner sum of the formula for each feature of each path.

        Padding has o = z = 1. A feature that changes nothing takes no part in the Shapley value, so the weights of a
        path padded to D features are the same as those of the path itself.
        """
        depth = one.shape[-1]
        weights = [factorial(s) * factorial(depth - s - 1) / factorial(depth) for s in range(depth)]
        out = []
        for j in range(depth):
            coefficients = [tf.ones_like(one[..., 0])]
            for k in range(depth):
                if k == j:
                    continue
                o, z = one[..., k], tf.broadcast_to(zero[..., k], tf.shape(one[..., k]))
                grown = [coefficients[0] * z]
                grown += [coefficients[i] * z + coefficients[i - 1] * o for i in range(1, len(coefficients))]
                coefficients = [*grown, coefficients[-1] * o]
            out.append(tf.add_n([w * c for w, c in zip(weights, coefficients, strict=True)]))
        return tf.stack(out, -1)


class _Tree:
    """One tree of XGBoost's JSON, and the ways to its leaves."""

    def __init__(self, tree: dict):
        if any(tree.get("split_type", [])):
            raise ValueError("trees: a split of this model is categorical; give the features as numbers")
        self.left, self.right = (np.asarray(tree[f"{side}_children"], np.int32) for side in ("left", "right"))
        self.feature = np.asarray(tree["split_indices"], np.int32)
        self.threshold = np.asarray(tree["split_conditions"], np.float32)  # of a leaf: its value
        self.cover = np.asarray(tree["sum_hessian"], np.float64)
        self.leaf = self.left < 0

    def paths(self):
        """(value, {feature: [low, high, share of the training rows that agree]}) of each leaf."""
        stack = [(0, {})]
        while stack:
            node, way = stack.pop()
            if self.leaf[node]:
                yield self.threshold[node], way
                continue
            for child, goes_left in ((self.left[node], True), (self.right[node], False)):
                low, high, cover = way.get(self.feature[node], (-np.inf, np.inf, 1.0))
                edge = self.threshold[node]
                low, high = (low, min(high, edge)) if goes_left else (max(low, edge), high)
                share = self.cover[child] / self.cover[node]
                stack.append((int(child), way | {int(self.feature[node]): (low, high, cover * share)}))


def _stacked(trees: list[_Tree]) -> dict[str, np.ndarray]:
    first = np.concatenate([[0], np.cumsum([len(t.leaf) for t in trees])])[:-1].astype(np.int32)
    own = [np.arange(len(t.leaf), dtype=np.int32) for t in trees]

    def joined(parts, dtype):
        return np.concatenate(list(parts)).astype(dtype)

    out = {
        "root": first,
        "left": joined((np.where(t.leaf, o, t.left) + f for t, o, f in zip(trees, own, first, strict=True)), np.int32),
        "right": joined(
            (np.where(t.leaf, o, t.right) + f for t, o, f in zip(trees, own, first, strict=True)), np.int32
        ),
        "feature": joined((np.where(t.leaf, 0, t.feature) for t in trees), np.int32),
        "threshold": joined((t.threshold for t in trees), np.float32),
        "value": joined((np.where(t.leaf, t.threshold, 0) for t in trees), np.float32),
    }
    paths = [path for tree in trees for path in tree.paths()]
    longest = max(1, max(len(way) for _, way in paths))
    filled = {
        "path_value": np.array([value for value, _ in paths], np.float32),
        "path_feature": np.full((len(paths), longest), -1, np.int32),
        "path_low": np.full((len(paths), longest), -np.inf, np.float32),
        "path_high": np.full((len(paths), longest), np.inf, np.float32),
        "path_cover": np.ones((len(paths), longest), np.float32),
    }
    for row, (_, way) in enumerate(paths):
        for column, (feature, (low, high, cover)) in enumerate(way.items()):
            filled["path_feature"][row, column] = feature
            filled["path_low"][row, column], filled["path_high"][row, column] = low, high
            filled["path_cover"][row, column] = cover
    return out | filled | {"depth": np.int32(_depth(trees))}


def _depth(trees: list[_Tree]) -> int:
    deepest = 0
    for tree in trees:
        stack = [(0, 0)]
        while stack:
            node, depth = stack.pop()
            deepest = max(deepest, depth)
            if not tree.leaf[node]:
                stack += [(int(tree.left[node]), depth + 1), (int(tree.right[node]), depth + 1)]
    return deepest
