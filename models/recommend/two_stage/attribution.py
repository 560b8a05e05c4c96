"""Why a candidate has its score: Shapley values of the features, shared out to the plays that the features count.

A weighted count gives each play it counts its weight's share; an age belongs to the play that sets it; a source gives
each play the share it added to the source's score. What no play can be named for (popularity, the listener's habits, a
sequential model's opinion) stays together. The shares of a score sum to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from models.recommend.two_stage.config import Source
from models.recommend.two_stage.features import Features, group_of
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
        parts = tf.add_n([part for _, part in self._of_plays(history, candidates, values)])
        rest = tf.reduce_sum(values, -1) - tf.reduce_sum(parts, -1)
        return tf.concat([parts, rest[:, :, None]], -1)

    def groups(self) -> tuple[str, ...]:
        """What the features speak of, see ``features.GROUPS``. Known once the features were called."""
        return tuple(dict.fromkeys(group_of(name) for name in self.features.names))

    def by_play_and_group(
        self, history: tf.Tensor, candidates: tf.Tensor, values: tf.Tensor
    ) -> dict[str, tuple[tf.Tensor | None, tf.Tensor]]:
        """group -> each play's part of what the group gives, float32 [B, C, L] (None: no play has any), and what is
        left of it, float32 [B, C]. All parts sum to the sum of values, float32 [B, C, F]."""
        left = {group: tf.zeros(tf.shape(candidates)) for group in self.groups()}
        for name, value in self._values(values).items():
            left[group_of(name)] += value
        plays: dict[str, tf.Tensor] = {}
        for group, part in self._of_plays(history, candidates, values):
            plays[group] = plays[group] + part if group in plays else part
            left[group] -= tf.reduce_sum(part, -1)
        return {group: (plays.get(group), rest) for group, rest in left.items()}

    def _values(self, values: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: values[:, :, at] for at, name in enumerate(self.features.names)}

    def _of_plays(
        self, history: tf.Tensor, candidates: tf.Tensor, values: tf.Tensor
    ) -> Iterator[tuple[str, tf.Tensor]]:
        """(group, float32 [B, C, L]) of all features that plays can be named for."""
        value = self._values(values)
        yield from self._of_counts(history, candidates, value)
        yield from self._of_sources(history, candidates, value)

    def _of_counts(
        self, history: tf.Tensor, candidates: tf.Tensor, value: dict[str, tf.Tensor]
    ) -> Iterator[tuple[str, tf.Tensor]]:
        ways = self.features.ways(history)
        for what, (plays, wanted) in self.features.matched(history, candidates).items():
            equal = tf.cast(wanted[:, :, None] == plays[:, None, :], tf.float32)
            weights = tf.stack(list(ways[what].values()), -1)
            counts = tf.matmul(equal, weights)
            each = tf.math.divide_no_nan(tf.stack([value[f"{what}_{way}"] for way in ways[what]], -1), counts)
            total = equal * tf.matmul(each, weights, transpose_b=True)
            total += _latest(equal) * value[f"{what}_age"][:, :, None]
            if what == "track":
                total += _latest(equal * ways[what]["after"][:, None]) * value["track_after_age"][:, :, None]
            yield group_of(f"{what}_age"), total

    def _of_sources(
        self, history: tf.Tensor, candidates: tf.Tensor, value: dict[str, tf.Tensor]
    ) -> Iterator[tuple[str, tf.Tensor]]:
        length = history.shape[1]
        for source in self.sources.config.sources:
            added = self._added(source, history, candidates)
            share = tf.math.divide_no_nan(added, tf.reduce_sum(added, -1, keepdims=True))
            both = value[source.name] + value[f"{source.name}_of_best"]
            start, stop = source.first, min(source.last, length)
            yield group_of(source.name), tf.pad(share * both[:, :, None], [[0, 0], [0, 0], [start, length - stop]])
        known = tf.cast(history[:, None, :1] >= 0, tf.float32)
        for name in OF_LATEST:
            latest = (value[name] + value[f"{name}_of_best"])[:, :, None] * known
            yield group_of(name), tf.pad(latest, [[0, 0], [0, 0], [0, length - 1]])
        for name, added in self._own(history, candidates):
            share = tf.math.divide_no_nan(added, tf.reduce_sum(added, -1, keepdims=True))
            yield group_of(name), share * (value[name] + value[f"{name}_of_best"])[:, :, None]

    def _own(self, history: tf.Tensor, candidates: tf.Tensor) -> Iterator[tuple[str, tf.Tensor]]:
        """(source, float32 [B, C, L]): what each play adds to the scores that are made of the listener's own plays."""
        decay, played = self.sources.decay, tf.cast(history >= 0, tf.float32)
        matched = self.features.matched(history, candidates)
        equal = {what: tf.cast(wanted[:, :, None] == plays[:, None], tf.float32)
                 for what, (plays, wanted) in matched.items()}  # fmt: skip
        again = tf.cast((history[:, 1:] == history[:, :1]) & (history[:, 1:] >= 0), tf.float32)
        before = tf.pad(again * decay(50.0)[:-1], [[0, 0], [0, 1]])
        yield "own", equal["track"] * (decay(20.0) * played)[:, None]
        yield "own_successor", equal["track"] * before[:, None]
        artist, of_candidate = matched["artist"]
        yield "artist_own", equal["artist"] * (decay(3.0) * played)[:, None]
        table, n = self.sources.artists, min(30, history.shape[1])
        rows = tf.maximum(artist[:, :n], 0)
        same = tf.gather(table.ids, rows)[:, None] == of_candidate[:, :, None, None]
        near = tf.reduce_sum(tf.where(same, tf.gather(table.weights, rows)[:, None], 0.0), -1)
        near *= (decay(3.0)[:n] * tf.cast(artist[:, :n] >= 0, tf.float32))[:, None]
        yield "artist_near", tf.pad(near, [[0, 0], [0, 0], [0, history.shape[1] - n]])

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
