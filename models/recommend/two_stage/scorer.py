"""A trained two-stage recommender as one TensorFlow module: histories in, scores of the whole catalogue out."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from models.recommend.base import UNRANKED
from models.recommend.two_stage.attribution import Attribution
from models.recommend.two_stage.config import TwoStageConfig
from models.recommend.two_stage.features import Features
from models.recommend.two_stage.rankers import Parts
from models.recommend.two_stage.sources import Sources
from models.recommend.two_stage.tables import Tables


class FirstStage(tf.Module):
    """Candidates and their features from counts. Histories are int32 [B, L], newest first, -1 after the last play."""

    def __init__(self, tables: Tables, config: TwoStageConfig):
        super().__init__(name="first_stage")
        self.sources = Sources(tables, config)
        self.features = Features(tables, self.sources, config)

    def __call__(
        self, history: tf.Tensor, exclude: tf.Tensor, more: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """-> candidates int32 [B, C], -1 where there are no more; features float32 [B, C, F].

        more: float32 [B, I], scores of a further source of candidates, which no feature knows of.
        """
        scores = self.sources.scores(history)
        counted = joined = self.sources.joined(scores, exclude)
        if more is not None:
            joined += self.sources.reciprocal_rank(more * self.sources.allowed(exclude))
        candidates = self.sources.candidates(joined)
        return candidates, self.features(history, candidates, counted, scores)

    def of(self, history: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, F] of given candidates."""
        scores = self.sources.scores(history)
        return self.features(history, candidates, self.sources.joined(scores, exclude), scores)


class TwoStageScorer(tf.Module):
    """Histories here are int32 [B, L], oldest first, -1 where there is no play, as the exported signatures have them;
    moment: int32 [B, M], codes by ``models.context.wire.KEYS``.

    A request that excludes the current track wants what is new to the listener and is ranked for "discover"; every
    other one for "next".
    """

    def __init__(
        self,
        stage: FirstStage,
        rankers: Mapping[str, tf.Module],
        sequence: tf.Module | None,
        listeners,
        config: TwoStageConfig,
    ):
        super().__init__(name="two_stage")
        self.sequence = sequence
        self.stage, self.rankers, self.config = stage, dict(rankers), config
        self.attribution = Attribution(stage.sources, stage.features)
        popular = config.popularity_penalty * tf.math.log1p(tf.cast(listeners, tf.float32))
        self.penalty = tf.Variable(popular, trainable=False, name="penalty")

    def ranked(self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor) -> tf.Tensor:
        """float32 [B, I]: scores of the candidates, ``UNRANKED`` for all others."""
        plays = newest_first(history, self.config.history)
        chances = None if self.sequence is None else self.sequence(plays)
        candidates, features = self.stage(plays, exclude, chances)
        discover = discovers(plays, exclude)
        values = self._rank(plays, moment, candidates, features, discover) + self._opinion(
            chances, candidates, discover
        )
        listed = candidates >= 0
        row = tf.broadcast_to(tf.range(tf.shape(candidates)[0])[:, None], tf.shape(candidates))
        cells = tf.boolean_mask(tf.stack([row, candidates], -1), listed)
        shape = [tf.shape(candidates)[0], self.stage.sources.n_tracks]
        return tf.tensor_scatter_nd_update(tf.fill(shape, UNRANKED), cells, tf.boolean_mask(values, listed))

    def candidate_scores(
        self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> tf.Tensor:
        """float32 [B, C] for candidates int32 [B, C], ``UNRANKED`` for -1 (unknown)."""
        plays = newest_first(history, self.config.history)
        features = self.stage.of(plays, exclude, candidates)
        chances = None if self.sequence is None else self.sequence(plays)
        discover = discovers(plays, exclude)
        values = self._rank(plays, moment, candidates, features, discover) + self._opinion(
            chances, candidates, discover
        )
        return tf.where(candidates >= 0, values, UNRANKED)

    def contributions(
        self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> tf.Tensor:
        """float32 [B, C, L + 1]: the share of each play in each candidate's score; last, all else.

        Parts of the features (exact for trees) shared out to plays by :class:`Attribution`; they sum to the score.
        """
        plays = newest_first(history, self.config.history)
        made = self.parts(plays, moment, exclude, candidates)
        shares = self.attribution.by_play(plays, candidates, made.features)
        known = tf.cast(candidates >= 0, tf.float32)[:, :, None]
        by_play = (shares[:, :, :-1] + made.plays) * known
        of_fields, of_track = (tf.reduce_sum(part, -1, keepdims=True) for part in (made.moment, made.attributes))
        rest = shares[:, :, -1:] + of_fields + of_track + made.rest[:, :, None]
        placed = _to_places(by_play, latest_order(history), tf.shape(history)[1])
        return tf.concat([placed, tf.where(known > 0, rest, UNRANKED)], -1)

    def parts(self, plays: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor) -> Parts:
        """What made the candidates' scores; plays newest first. The sequential model's opinion and what popularity
        costs are in the rest."""
        features = self.stage.of(plays, exclude, candidates)
        discover = discovers(plays, exclude)
        asked = plays, moment, candidates, features

        def by(task: str) -> Parts:
            return self.rankers[task].parts(*asked)

        def nothing() -> Parts:
            return Parts.none(features, plays.shape[1])

        new = tf.cond(tf.reduce_any(discover), lambda: by("discover"), nothing)
        coming = tf.cond(tf.reduce_all(discover), nothing, lambda: by("next"))
        made = new.where(discover, coming)
        chances = None if self.sequence is None else self.sequence(plays)
        penalty = tf.gather(self.penalty, tf.maximum(candidates, 0))
        rest = made.rest + self._opinion(chances, candidates, discover) - tf.where(discover[:, None], penalty, 0.0)
        return made._replace(rest=rest)

    def _opinion(self, chances: tf.Tensor | None, candidates: tf.Tensor, discover: tf.Tensor) -> tf.Tensor:
        """float32 [B, C]: what the sequential model adds, its weight times the log of its probability."""
        if chances is None:
            return tf.zeros(tf.shape(candidates))
        weight = tf.where(discover, self.config.discover.opinion, self.config.next.opinion)
        chance = tf.gather(chances, tf.maximum(candidates, 0), batch_dims=1)
        return tf.cast(weight, tf.float32)[:, None] * tf.math.log(chance + 1e-9)

    def _rank(self, plays, moment, candidates, features, discover: tf.Tensor) -> tf.Tensor:
        def by(task: str):
            return self.rankers[task](plays, moment, candidates, features)

        def nothing():
            return tf.zeros(tf.shape(candidates))

        coming = tf.cond(tf.reduce_all(discover), nothing, lambda: by("next"))
        new = tf.cond(tf.reduce_any(discover), lambda: by("discover"), nothing)
        new -= tf.gather(self.penalty, tf.maximum(candidates, 0))
        return tf.where(discover[:, None], new, coming)


def latest_order(history: tf.Tensor) -> tf.Tensor:
    """int32 [B, L]: the places of the plays, latest first, and then those of the gaps."""
    place = tf.where(history >= 0, tf.range(tf.shape(history)[1])[None], -1)
    return tf.argsort(place, 1, direction="DESCENDING", stable=True)


def _to_places(shares: tf.Tensor, order: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """float32 [B, C, length]: ``shares`` by play, latest first, at the places where the plays are."""
    n = tf.minimum(length, tf.shape(shares)[2])
    where = tf.one_hot(order[:, :n], length)  # [B, n, length]
    return tf.matmul(shares[:, :, :n], where)


def newest_first(history: tf.Tensor, length: int) -> tf.Tensor:
    """int32 [B, length]: the latest plays, newest first, without the gaps of ``history`` (oldest first)."""
    plays = tf.gather(history, latest_order(history)[:, :length], batch_dims=1)
    return tf.ensure_shape(
        tf.pad(plays, [[0, 0], [0, length - tf.shape(plays)[1]]], constant_values=-1), [None, length]
    )


def discovers(plays: tf.Tensor, exclude: tf.Tensor) -> tf.Tensor:
    """bool [B]: the current track is among the excluded ones."""
    return tf.reduce_any((exclude == plays[:, :1]) & (exclude >= 0), 1)
