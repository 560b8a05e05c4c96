"""Why a candidate has its score: Shapley values of the features, shared out to the plays that the features count.

A weighted count gives each play it counts its weight's share; an age belongs to the play that sets it; a source gives
each play the share it added to the source's score. What no play can be named for (popularity, the listener's habits, a
sequential model's opinion) stays together. The shares of a score sum to it.
"""

from __future__ import annotations

import tensorflow as tf

from models.recommend.two_stage.config import Source
from models.recommend.two_stage.features import Features
from models.recommend.two_stage.sources import Sources

OF_LATEST = ("pair", "matched", "matched_soon")
"""Sources that ask what followed plays like the latest one."""


class Attribution(tf.Module):
    """Shares Shapley values out to plays. Histories are int32 [B, L], newest first, -1 after the last play."""

    def __init__(self, sources: Sources, features: Features):
        super().__init__(name="attribution")
        self.sources, self.features = sources, features

    def by_play(self, history: tf.Tensor, candidates: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, L + 1] of values float32 [B, C, F] by feature: each play's part; last, all else."""
        value = {name: values[:, :, at] for at, name in enumerate(self.features.names)}
        parts = self._of_counts(history, candidates, value) + self._of_sources(history, candidates, value)
        rest = tf.reduce_sum(values, -1) - tf.reduce_sum(parts, -1)
        return tf.concat([parts, rest[:, :, None]], -1)

    def _of_counts(self, history: tf.Tensor, candidates: tf.Tensor, value: dict[str, tf.Tensor]) -> tf.Tensor:
        ways = self.features.ways(history)
        total = 0.0
        for what, (plays, wanted) in self.features.matched(history, candidates).items():
            equal = tf.cast(wanted[:, :, None] == plays[:, None, :], tf.float32)
            weights = tf.stack(list(ways[what].values()), -1)
            counts = tf.matmul(equal, weights)
            each = tf.math.divide_no_nan(tf.stack([value[f"{what}_{way}"] for way in ways[what]], -1), counts)
            total += equal * tf.matmul(each, weights, transpose_b=True)
            total += _latest(equal) * value[f"{what}_age"][:, :, None]
            if what == "track":
                total += _latest(equal * ways[what]["after"][:, None]) * value["track_after_age"][:, :, None]
        return total

    def _of_sources(self, history: tf.Tensor, candidates: tf.Tensor, value: dict[str, tf.Tensor]) -> tf.Tensor:
        length = history.shape[1]
        total = 0.0
        for source in self.sources.config.sources:
            added = self._added(source, history, candidates)
            share = tf.math.divide_no_nan(added, tf.reduce_sum(added, -1, keepdims=True))
            both = value[source.name] + value[f"{source.name}_of_best"]
            start, stop = source.first, min(source.last, length)
            total += tf.pad(share * both[:, :, None], [[0, 0], [0, 0], [start, length - stop]])
        known = tf.cast(history[:, None, :1] >= 0, tf.float32)
        latest = tf.add_n([value[name] + value[f"{name}_of_best"] for name in OF_LATEST])[:, :, None] * known
        return total + tf.pad(latest, [[0, 0], [0, 0], [0, length - 1]])

    def _added(self, source: Source, history: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, plays of the source]: what each play adds to the source's score of each candidate."""
        plays = history[:, source.first : source.last]
        table = self.sources.tables[source.table]
        rows = tf.maximum(plays, 0)
        same = tf.gather(table.ids, rows)[:, None] == candidates[:, :, None, None]
        found = tf.reduce_sum(tf.where(same, tf.gather(table.weights, rows)[:, None], 0.0), -1)
        factors = self.sources.decay(source.half_life)[: plays.shape[1]] * tf.cast(plays >= 0, tf.float32)
        return found * factors[:, None]


def _latest(equal: tf.Tensor) -> tf.Tensor:
    """The first 1 of each row of 0s and others, newest first."""
    some = tf.cast(equal > 0, tf.float32)
    return some * tf.cast(tf.cumsum(some, -1) == 1, tf.float32)
