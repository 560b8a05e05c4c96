"""The moment as features for rankers that have no embeddings, such as trees: what it is, and how candidates suit it.

How a candidate suits a moment is counted on the plays before the cut. For a category of a field (8 o'clock, "exercise")
and a group of tracks (a genre, an artist): how much more of the group was played there than the same listeners' own mix
would have given,

    log((observed + k) / (expected + k)),    expected = sum over listeners of plays there * the group's share of theirs,

shrunk to 0 by k plays (gamma-Poisson shrinkage, DuMouchel 1999). By sound: the mean difference of the plays there from
their listeners' mean, in standardised acoustics, as the linear discriminant of a play there from any other (Fisher
1936). Comparing each listener with themselves keeps apart what suits an hour from who is awake at it.

An unknown field gives 0 everywhere, and a field that no play names gives no column at all: a model without context is
the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from models.context import FIELDS
from models.data import ListeningData
from models.recommend.towers import acoustic_inputs
from models.recommend.two_stage.examples import RankingExamples

CYCLES = {"hour": 24, "weekday": 7, "month": 12}
ONE_HOT = ("device", "activity", "network", "weather")
"""Fields of few words that follow no order; a country only counts by what suits it."""
LEAST_CONTRAST = 0.05  # of a field: the entropy (nats) below which it says nothing


@dataclass(frozen=True)
class ContextFeaturesConfig:
    """shrinkage: plays that make half of a difference believed. ridge: share of the acoustic variance added to itself.
    fields: those that are looked at."""

    shrinkage: float = 50.0
    ridge: float = 0.1
    fields: tuple[str, ...] = FIELDS


class ContextFeatures(tf.Module):
    """>>> extra = ContextFeatures.count(plays_before_the_cut)
    >>> extra(candidates, context)                   # int32 [B, C], int32 [B, 9] -> float32 [B, C, len(extra.names)]
    """

    def __init__(self, fields, sizes, words, suits: dict[str, np.ndarray], group_of: dict[str, np.ndarray], sound=None):
        """fields: those of ``FIELDS`` that are known; sizes: categories of each, V in all; words: names of those of
        the ``ONE_HOT`` ones; suits: "genre" and "artist" -> float32 [V + 1, groups + 1], the last row and column 0;
        group_of: the same -> int32 [I], -1 unknown; sound: directions float32 [V + 1, A], the last row 0, and tracks
        float32 [I, A]."""
        super().__init__(name="context_features")
        self.fields, self.sizes, self.words = tuple(fields), tuple(sizes), dict(words)
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        self.suits = {k: tf.Variable(v, trainable=False, name=k) for k, v in suits.items()}
        self.group_of = {
            k: tf.Variable(np.where(v >= 0, v, suits[k].shape[1] - 1).astype(np.int32), trainable=False, name=f"of_{k}")
            for k, v in group_of.items()
        }
        self.sound = None if sound is None else [tf.Variable(v, trainable=False, name="sound") for v in sound]
        self.names = tuple(self._names())

    @classmethod
    def count(
        cls, data: ListeningData, config: ContextFeaturesConfig | None = None, fields: Sequence[str] | None = None
    ) -> ContextFeatures:
        """From the plays given, those before the cut; memory grows with categories * (genres + artists).

        fields: those that get columns, so that several cuts have the same ones; those that say something by default.
        """
        config = config or ContextFeaturesConfig()
        fields = telling_fields(data, config) if fields is None else tuple(fields)
        sizes = [len(data.context_fields.names[name]) for name in fields]
        words = {name: data.context_fields.names[name] for name in fields if name in ONE_HOT}
        place = _placed(data, fields, sizes)
        catalogue, suits, group_of = data.catalogue, {}, {}
        for name, code, n in (
            ("genre", catalogue.genre, catalogue.n_genres),
            ("artist", catalogue.artist, catalogue.n_artists),
        ):
            if fields and (code >= 0).any():
                suits[name], group_of[name] = _lifts(data, place, code, n, config.shrinkage), code
        acoustic, sound = acoustic_inputs(catalogue.acoustic), None
        if fields and acoustic.shape[1]:
            sound = np.pad(_directions(data, place, acoustic, config), ((0, 1), (0, 0))), acoustic
        return cls(fields, sizes, words, suits, group_of, sound)

    def _names(self):
        for field in self.fields:
            if field in CYCLES:
                yield from (f"{field}_sine", f"{field}_cosine")
            elif field in self.words:
                yield from (f"{field}_{word}" for word in self.words[field])
            elif field == "temperature":
                yield field
        for what in [*self.suits, *(["sound"] if self.sound else [])]:
            yield from (f"{what}_suits_{field}" for field in self.fields)
            yield f"{what}_suits"

    def __call__(self, candidates: tf.Tensor, context: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, len(names)]: candidates int32 [B, C], -1 for none; context int32 [B, 9], -1 unknown."""
        shape = tf.shape(candidates)
        if not self.names:
            return tf.zeros([shape[0], shape[1], 0])
        out = [tf.broadcast_to(value[:, None], [shape[0], shape[1], value.shape[1]]) for value in self._moment(context)]
        rows = self._rows(context)
        for fits in self._fits(tf.maximum(candidates, 0), rows):
            fits *= tf.cast(candidates >= 0, tf.float32)[..., None]
            out += [fits, tf.reduce_sum(fits, -1, keepdims=True)]
        return tf.concat(out, -1)

    def _fits(self, tracks: tf.Tensor, rows: tf.Tensor):
        """float32 [B, C, S] of each kind: how tracks [B, C] suit the categories of rows [B, S]."""
        for what, table in self.suits.items():
            cell = rows[:, None] * table.shape[1] + tf.gather(self.group_of[what], tracks)[..., None]
            yield tf.gather(tf.reshape(table, [-1]), cell)
        if self.sound:
            directions, acoustic = self.sound
            yield tf.matmul(tf.gather(acoustic, tracks), tf.gather(directions, rows), transpose_b=True)

    def _moment(self, context: tf.Tensor):
        for field, size in zip(self.fields, self.sizes, strict=True):
            code = context[:, FIELDS.index(field)]
            known = tf.cast((code >= 0) & (code < size), tf.float32)[:, None]
            if field in CYCLES:
                angle = (2 * np.pi / CYCLES[field]) * tf.cast(code, tf.float32)[:, None]
                yield tf.concat([tf.sin(angle), tf.cos(angle)], 1) * known
            elif field in self.words:
                yield tf.one_hot(code, size) * known
            elif field == "temperature":
                yield (tf.cast(code, tf.float32)[:, None] - (size - 1) / 2) * known

    def _rows(self, context: tf.Tensor) -> tf.Tensor:
        """int32 [B, S]: the row of each known field's category, the last for an unknown one."""
        codes = tf.gather(context, [FIELDS.index(field) for field in self.fields], axis=1)
        inside = (codes >= 0) & (codes < np.asarray(self.sizes, np.int32))
        return tf.where(inside, codes + self.starts[:-1], self.starts[-1])


def appended(rows: np.ndarray, extra: ContextFeatures, examples: RankingExamples, group: np.ndarray) -> np.ndarray:
    """float32 [R, F + len(extra.names)]: ``rows`` of the candidates of ``examples`` (``RankingExamples.rows``), the
    moment's columns after the others."""
    if not extra.names:
        return rows
    out = np.empty((len(rows), rows.shape[1] + len(extra.names)), np.float32)
    out[:, : rows.shape[1]] = rows
    for start in range(0, len(examples), 256):
        asked = examples[start : start + 256]
        columns = extra(tf.constant(asked.candidates, tf.int32), tf.constant(asked.context.astype(np.int32))).numpy()
        first, last = np.searchsorted(group, [start, start + len(asked)])
        out[first:last, rows.shape[1] :] = columns[asked.candidates >= 0]
    return out


def telling_fields(data: ListeningData, config: ContextFeaturesConfig | None = None) -> tuple[str, ...]:
    """Fields of the context that the plays name, and not always alike."""
    wanted = (config or ContextFeaturesConfig()).fields
    return tuple(name for name in FIELDS if name in wanted and _says_something(data.of_context(name)))


def _says_something(codes: np.ndarray) -> bool:
    """Whether a field is known of some plays, and not always the same."""
    known = codes[codes >= 0]
    if not len(known):
        return False
    share = np.bincount(known) / len(known)
    return bool(-(share[share > 0] * np.log(share[share > 0])).sum() > LEAST_CONTRAST)


def _placed(data: ListeningData, fields, sizes) -> sp.csr_matrix:
    """float32 [V, N]: which plays each category of each field has, one row a category."""
    rows, plays, start = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for name, size in zip(fields, sizes, strict=True):
        codes = data.of_context(name)
        known = np.flatnonzero(codes >= 0)
        rows.append(start + codes[known].astype(np.int64))
        plays.append(known)
        start += size
    row, play = np.concatenate(rows), np.concatenate(plays)
    return sp.csr_matrix((np.ones(len(row), np.float32), (row, play)), shape=(start, data.n_plays))


def _lifts(data: ListeningData, place: sp.csr_matrix, code: np.ndarray, n: int, k: float) -> np.ndarray:
    """float32 [V + 1, groups + 1]: log of observed over expected plays, the last row and column 0."""
    group = code[data.items]
    told = np.flatnonzero(group >= 0)
    of_play = sp.csr_matrix((np.ones(len(told), np.float32), (told, group[told])), shape=(data.n_plays, n))
    by_user = _by_user(data)
    mix = by_user @ of_play  # [U, G]
    share = sp.diags(1.0 / np.maximum(np.asarray(mix.sum(1)).ravel(), 1)) @ mix
    told_place = place @ sp.diags(np.asarray(group >= 0, np.float32))
    observed = (told_place @ of_play).toarray()
    expected = ((told_place @ by_user.T) @ share).toarray()
    return np.pad(np.log((observed + k) / (expected + k)).astype(np.float32), ((0, 1), (0, 1)))


def _directions(data: ListeningData, place, sound: np.ndarray, config) -> np.ndarray:
    """float32 [V, A]: directions in standardised acoustics that tell the plays of a category from the others."""
    played, by_user = sound[data.items], _by_user(data)
    mean = (by_user @ played) / np.maximum(np.asarray(by_user.sum(1)), 1)
    apart = played - mean[data.user_of_play]
    count = np.asarray(place.sum(1))
    away = (place @ apart) / (count + config.shrinkage)
    variance = np.cov(apart, rowvar=False).reshape(sound.shape[1], sound.shape[1])
    ridge = config.ridge * max(1e-6, float(np.trace(variance)) / len(variance)) * np.eye(len(variance))
    return np.linalg.solve(variance + ridge, away.T).T.astype(np.float32)


def _by_user(data: ListeningData) -> sp.csr_matrix:
    ones = np.ones(data.n_plays, np.float32)
    return sp.csr_matrix((ones, (data.user_of_play, np.arange(data.n_plays))), shape=(data.n_users, data.n_plays))
