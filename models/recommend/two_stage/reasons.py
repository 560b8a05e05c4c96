"""Reasons of a two-stage recommender as a TensorFlow module: which plays, and by which kind of evidence.

Parts of a score by play and group, from exact Shapley values where trees rank, from integrated gradients where the
contextual network does. The groups are those of :data:`models.recommend.two_stage.features.GROUPS` and
``context.<field>`` for each field of the moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.context import FIELDS
from models.context.wire import KEYS
from models.recommend.served import in_places, newest_first
from models.recommend.two_stage.contextual_attribution import ATTRIBUTES
from models.recommend.two_stage.features import BASE
from models.recommend.two_stage.scorer import TwoStageScorer, discovers

POPULARITY, SEQUENCE, TASTE, LISTENER, MOMENT = "popularity", "sequence", "taste", "listener", "moment"
OF_FIELD = (*(f"context.{key}" if key in FIELDS else LISTENER for key in KEYS), MOMENT)
OF_ATTRIBUTE = {"track": POPULARITY} | {name: name for name in ATTRIBUTES[1:]}


class ByPlayAndGroup(NamedTuple):
    """groups: names of the G groups; plays: float32 [B, C, L, P], each play's part by the first P of them, which are
    all that a play can be named for; rest: float32 [B, C, G], what no play can be named for. plays and rest sum to the
    score; both are 0 for a candidate of -1."""

    groups: tuple[str, ...]
    plays: tf.Tensor
    rest: tf.Tensor


class Reasons(tf.Module):
    """Arguments are those of the scorer's ``candidate_scores``; histories oldest first, gaps anywhere."""

    def __init__(self, scorer: TwoStageScorer):
        super().__init__(name="reasons")
        self.scorer = scorer

    @property
    def groups(self) -> tuple[str, ...]:
        """Of the last axis; known once the scorer's features were called."""
        of_features = self.scorer.attribution.groups
        own = (*OF_ATTRIBUTE.values(), SEQUENCE, *OF_FIELD, BASE)
        return tuple(dict.fromkeys((*self.scorer.attribution.of_plays, TASTE, *of_features, *own)))

    def __call__(self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor):
        """-> :class:`ByPlayAndGroup`, plays in the places of the history."""
        plays = newest_first(history, self.scorer.config.history)
        features, chances = self.scorer.stage.of(plays, exclude, candidates), self.scorer.chances(plays)
        return self.of(history, moment, exclude, candidates, features, chances)

    def of(self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor, features, chances):
        """As when called, of candidates whose features float32 [B, C, F] and whose chances (see the scorer) are known
        already."""
        scorer = self.scorer
        plays = newest_first(history, scorer.config.history)
        made = scorer.parts(plays, moment, exclude, candidates, features)
        by_group = scorer.attribution(plays, candidates, made.features)
        popularity, opinion, blind = self._beside(plays, exclude, candidates, chances)
        told = {
            scorer.attribution.groups: by_group.rest,
            OF_FIELD: made.moment,
            tuple(OF_ATTRIBUTE.values()): made.attributes,
            (POPULARITY, SEQUENCE, BASE): tf.stack([popularity, opinion - blind, made.rest + blind], -1),
        }
        known = tf.cast(candidates >= 0, tf.float32)[:, :, None]
        parts = tf.concat([by_group.plays, made.plays[..., None]], -1) * known[..., None]
        rest = _into(self.groups, told) * known
        return ByPlayAndGroup(self.groups, oldest_first(parts, history), rest)

    def _beside(self, plays: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor, chances) -> tuple[tf.Tensor, ...]:
        """float32 [B, C] each: what popularity costs, the sequential model's opinion, and its opinion of a track picked
        blindly, all being as likely."""
        scorer, discover = self.scorer, discovers(plays, exclude)
        popularity, opinion = scorer.beside(chances, candidates, discover)
        if chances is None:
            return popularity, opinion, opinion
        alike = tf.ones(tf.shape(candidates)) / tf.cast(tf.shape(chances)[1], tf.float32)
        return popularity, opinion, scorer.opinion(alike, discover)


def _into(groups: Sequence[str], told: Mapping[Sequence[str], tf.Tensor]) -> tf.Tensor:
    """float32 [B, C, G]: values float32 [B, C, N] by the group that each of their N columns speaks of, added up."""
    columns = [name for names in told for name in names]
    belongs = np.array([[group == name for group in groups] for name in columns], np.float32)
    return tf.tensordot(tf.concat(list(told.values()), -1), belongs, 1)


def oldest_first(parts: tf.Tensor, history: tf.Tensor) -> tf.Tensor:
    """float32 [B, C, L, G] in the places of ``history`` int32 [B, L] of parts by play, [B, C, K, G], latest first."""
    shape = tf.shape(parts)
    flat = tf.reshape(tf.transpose(parts, [0, 1, 3, 2]), [shape[0], -1, shape[2]])
    placed = in_places(flat, history)
    return tf.transpose(tf.reshape(placed, [shape[0], shape[1], shape[3], -1]), [0, 1, 3, 2])
