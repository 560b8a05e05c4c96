"""Why a candidate has its score: Shapley values of the features, shared out to the plays that the features count.

A weighted count gives each play it counts its weight's share; an age belongs to the play that sets it; a source gives
each play the share it added to the source's score. What no play can be named for (popularity, the listener's habits, a
sequential model's opinion) stays together. The shares of a score sum to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.recommend.two_stage.features import Features, group_of
from models.recommend.two_stage.sources import ARTISTS_ASKED, OF_LATEST, OF_OWN, Sources


class Evidence(NamedTuple):
    """Features that count the same plays in several ways.

    found: float32 [B, C, L], how much of each candidate is in each play; weights: float32 [B, W, L], what the plays
    count for in each of the W features; names: of the W features.
    """

    found: tf.Tensor
    weights: tf.Tensor
    names: Sequence[str]

    def shared(self, values: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, L] of values float32 [B, C, W]: each play's part of them all."""
        counts = tf.matmul(self.found, self.weights, transpose_b=True)
        return self.found * tf.matmul(tf.math.divide_no_nan(values, counts), self.weights)


class ByGroup(NamedTuple):
    """plays: float32 [B, C, L, P], each play's part by the groups of ``Attribution.of_plays``; rest: float32 [B, C, G],
    what is left of each of ``Attribution.groups``, the first P of which are those."""

    plays: tf.Tensor
    rest: tf.Tensor


class Attribution(tf.Module):
    """Shares Shapley values out to plays. Histories are int32 [B, L], newest first, -1 after the last play."""

    def __init__(self, sources: Sources, features: Features):
        super().__init__(name="attribution")
        self.sources, self.features = sources, features

    @cached_property
    def of_plays(self) -> tuple[str, ...]:
        """Groups whose parts plays can be named for."""
        names = (*(source.name for source in self.sources.config.sources), *OF_LATEST)
        return tuple(dict.fromkeys(("own_history", "artist", "album", *map(group_of, names))))

    @property
    def groups(self) -> tuple[str, ...]:
        """What the features speak of, see ``features.GROUPS``. Known once the features were called."""
        return tuple(dict.fromkeys((*self.of_plays, *map(group_of, self.features.names))))

    def __call__(self, history: tf.Tensor, candidates: tf.Tensor, values: tf.Tensor) -> ByGroup:
        """Of values float32 [B, C, F] by feature; all parts sum to the values' sum."""
        parts: dict[str, tf.Tensor] = {}
        for group, part in self._parts(history, candidates, values):
            parts[group] = parts[group] + part if group in parts else part
        plays = tf.stack([parts[group] for group in self.of_plays], -1)
        groups, of_feature = self.groups, [group_of(name) for name in self.features.names]
        belongs = np.array([[group == mine for group in groups] for mine in of_feature], np.float32)
        taken = tf.pad(tf.reduce_sum(plays, 2), [[0, 0], [0, 0], [0, len(groups) - len(self.of_plays)]])
        return ByGroup(plays, tf.tensordot(values, belongs, 1) - taken)

    def by_play(self, history: tf.Tensor, candidates: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, L + 1]: each play's part; last, all else."""
        parts = self(history, candidates, values)
        return tf.concat([tf.reduce_sum(parts.plays, -1), tf.reduce_sum(parts.rest, -1, keepdims=True)], -1)

    def _parts(self, history: tf.Tensor, candidates: tf.Tensor, values: tf.Tensor) -> Iterator[tuple[str, tf.Tensor]]:
        """(group, float32 [B, C, L]) of all features that plays can be named for."""
        equal = {
            what: tf.cast(wanted[:, :, None] == plays[:, None, :], tf.float32)
            for what, (plays, wanted) in self.features.matched(history, candidates).items()
        }
        ways = self.features.ways(history)
        for what, found in equal.items():
            names = [f"{what}_{way}" for way in ways[what]]
            counted = Evidence(found, tf.stack(list(ways[what].values()), 1), names)
            yield group_of(names[0]), counted.shared(self._columns(values, names))
        yield from self._ages(equal, ways["track"]["after"], values)
        for evidence in self._sources(history, candidates, equal):
            both = self._columns(values, evidence.names) + self._columns(values, of_best(evidence.names))
            yield group_of(evidence.names[0]), evidence.shared(both)
        latest = tf.reduce_sum(self._columns(values, [*OF_LATEST, *of_best(OF_LATEST)]), -1, keepdims=True)
        known = tf.cast(history[:, None, :1] >= 0, tf.float32)
        alone = tf.pad(latest * known, [[0, 0], [0, 0], [0, history.shape[1] - 1]])
        yield group_of(OF_LATEST[0]), alone

    def _columns(self, values: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
        """float32 [B, C, len(names)] of values by feature."""
        return tf.gather(values, [self.features.names.index(name) for name in names], axis=-1)

    def _ages(self, equal: dict[str, tf.Tensor], after: tf.Tensor, values: tf.Tensor):
        """An age is that of the latest play it counts."""
        for what, found in equal.items():
            yield group_of(f"{what}_age"), _latest(found) * self._columns(values, [f"{what}_age"])
        yield (
            group_of("track_after_age"),
            (_latest(equal["track"] * after[:, None]) * self._columns(values, ["track_after_age"])),
        )

    def _sources(self, history: tf.Tensor, candidates: tf.Tensor, equal: dict[str, tf.Tensor]) -> Iterator[Evidence]:
        """Of the sources that add up over plays: the listener's own plays and artists, and neighbours."""
        weights, length = self.sources.weights(history), history.shape[1]

        def evidence(found: tf.Tensor, *names: str) -> Evidence:
            return Evidence(found, tf.stack([weights[name] for name in names], 1), names)

        yield evidence(equal["track"], *OF_OWN)
        yield evidence(equal["artist"], "artist_own")
        for table, reach in self.sources.reach.items():
            found = _found(self.sources.tables[table], history[:, :reach], candidates, length)
            yield evidence(found, *(s.name for s in self.sources.config.sources if s.table == table))
        artist, wanted = self.features.matched(history, candidates)["artist"]
        yield evidence(_found(self.sources.artists, artist[:, :ARTISTS_ASKED], wanted, length), "artist_near")


def of_best(names: Sequence[str]) -> list[str]:
    """The features that give the sources' scores as shares of their best."""
    return [f"{name}_of_best" for name in names]


def _found(table, rows: tf.Tensor, wanted: tf.Tensor, length: int) -> tf.Tensor:
    """float32 [B, C, length]: the weight of ``wanted`` int32 [B, C] among the neighbours of each of the rows int32 [B,
    N], 0 for the others up to ``length``."""
    ids, weights = table(tf.maximum(rows, 0))
    same = tf.cast(ids[:, None] == wanted[:, :, None, None], tf.float32)
    found = tf.reduce_sum(same * weights[:, None], -1)
    return tf.pad(found, [[0, 0], [0, 0], [0, length - rows.shape[1]]])


def _latest(found: tf.Tensor) -> tf.Tensor:
    """1 at the first of each row, newest first, that is not 0."""
    some = tf.cast(found > 0, tf.float32)
    return some * tf.cast(tf.cumsum(some, -1) == 1, tf.float32)
