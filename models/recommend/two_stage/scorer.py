"""A trained two-stage recommender as one TensorFlow module: histories in, scores of the whole catalogue out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from models.recommend.base import UNRANKED
from models.recommend.memory import scattered
from models.recommend.served import in_places, newest_first
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
        self, history: tf.Tensor, exclude: tf.Tensor, further: tf.Tensor | None = None, more: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """-> candidates int32 [B, C], -1 where there are no more; features float32 [B, C, F].

        further: float32 [B, I], scores of a further source of candidates, which no feature knows of; more: int32
        [B, M], candidates that were found elsewhere, -1 for none.
        """
        found, lists = [] if more is None else [more], self.sources.lists(history)
        if further is not None:
            best, worth = self.sources.best_of_catalogue(further, exclude)
            found.append(best)
        pool = self.sources.pool(lists, *found)
        scores, allowed = self.sources.scores(lists, pool), pool.allowed(exclude)
        width, wider = tf.size(pool.tracks), 0
        counted = joined = self.sources.joined(scores, allowed)
        if further is not None:
            joined += scattered(pool.of_tracks(best), tf.broadcast_to(worth, tf.shape(best)), width)
        if more is not None:
            asked = scattered(pool.of_tracks(more), tf.ones_like(more, tf.float32), width)
            joined += asked * allowed  # above every other, in places of their own
            wider = tf.reduce_max(tf.math.count_nonzero(more >= 0, 1, dtype=tf.int32))
        places = self.sources.candidates(joined, pool, wider)
        candidates = pool.tracks_at(places)
        return candidates, self.features(history, candidates, places, counted, scores)

    def of(self, history: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, F] of given candidates."""
        lists = self.sources.lists(history)
        pool = self.sources.pool(lists, candidates)
        scores = self.sources.scores(lists, pool)
        joined = self.sources.joined(scores, pool.allowed(exclude))
        return self.features(history, candidates, pool.of_tracks(candidates), joined, scores)


class Shortlist(NamedTuple):
    """candidates: int32 [B, C], -1 where there are no more; values: float32 [B, C], their scores; features: float32
    [B, C, F]; chances: as of :meth:`TwoStageScorer.chances`."""

    candidates: tf.Tensor
    values: tf.Tensor
    features: tf.Tensor
    chances: tf.Tensor | None

    def best(self, k: tf.Tensor) -> Shortlist:
        """The ``k`` best (int32 scalar), best first; of equal ones the lower row of the catalogue."""
        values = tf.where(self.candidates >= 0, self.values, UNRANKED)
        in_order = tf.argsort(self.candidates, 1)
        values = tf.gather(values, in_order, batch_dims=1)
        values, place = tf.math.top_k(values, tf.minimum(k, tf.shape(values)[1]))
        place = tf.gather(in_order, place, batch_dims=1)
        candidates, features = (tf.gather(x, place, batch_dims=1) for x in (self.candidates, self.features))
        return Shortlist(candidates, values, features, self.chances)


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
        made = self.shortlist(newest_first(history, self.config.history), moment, exclude)
        candidates, values = made.candidates, made.values
        listed = candidates >= 0
        row = tf.broadcast_to(tf.range(tf.shape(candidates)[0])[:, None], tf.shape(candidates))
        cells = tf.boolean_mask(tf.stack([row, candidates], -1), listed)
        shape = [tf.shape(candidates)[0], self.stage.sources.n_tracks]
        return tf.tensor_scatter_nd_update(tf.fill(shape, UNRANKED), cells, tf.boolean_mask(values, listed))

    def shortlist(
        self, plays: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, more: tf.Tensor | None = None
    ) -> Shortlist:
        """What the first stage finds, scored; plays newest first; more: int32 [B, C], candidates found elsewhere, -1
        for none."""
        chances = self.chances(plays)
        candidates, features = self.stage(plays, exclude, chances, more)
        discover = discovers(plays, exclude)
        values = self._rank(plays, moment, candidates, features, discover)
        values += tf.add_n(self.beside(chances, candidates, discover))
        return Shortlist(candidates, values, features, chances)

    def candidate_scores(
        self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> tf.Tensor:
        """float32 [B, C] for candidates int32 [B, C], ``UNRANKED`` for -1 (unknown)."""
        plays = newest_first(history, self.config.history)
        features = self.stage.of(plays, exclude, candidates)
        chances, discover = self.chances(plays), discovers(plays, exclude)
        values = self._rank(plays, moment, candidates, features, discover)
        values += tf.add_n(self.beside(chances, candidates, discover))
        return tf.where(candidates >= 0, values, UNRANKED)

    def contributions(
        self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> tf.Tensor:
        """float32 [B, C, L + 1]: the share of each play in each candidate's score; last, all else.

        Parts of the features (exact for trees) shared out to plays by :class:`Attribution`; they sum to the score.
        """
        plays = newest_first(history, self.config.history)
        features = self.stage.of(plays, exclude, candidates)
        made = self.parts(plays, moment, exclude, candidates, features)
        beside = tf.add_n(self.beside(self.chances(plays), candidates, discovers(plays, exclude)))
        shares = self.attribution.by_play(plays, candidates, made.features)
        known = tf.cast(candidates >= 0, tf.float32)[:, :, None]
        by_play = (shares[:, :, :-1] + made.plays) * known
        of_fields, of_track = (tf.reduce_sum(part, -1, keepdims=True) for part in (made.moment, made.attributes))
        rest = shares[:, :, -1:] + of_fields + of_track + (made.rest + beside)[:, :, None]
        return tf.concat([in_places(by_play, history), tf.where(known > 0, rest, UNRANKED)], -1)

    def parts(
        self, plays: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor, features: tf.Tensor
    ) -> Parts:
        """What made the rankers' scores of the candidates with ``features``; plays newest first. See :meth:`beside` for
        what is added."""
        discover = discovers(plays, exclude)
        asked = plays, moment, candidates, features

        def by(task: str) -> Parts:
            return self.rankers[task].parts(*asked)

        def nothing() -> Parts:
            return Parts.none(features, plays.shape[1])

        new, coming = _by_task(discover, by, nothing)
        return new.where(discover, coming)

    def chances(self, plays: tf.Tensor) -> tf.Tensor | None:
        """float32 [B, I]: the sequential model's probability of each track; None without one."""
        return None if self.sequence is None else self.sequence(plays)

    def beside(
        self, chances: tf.Tensor | None, candidates: tf.Tensor, discover: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What is added to the rankers' scores, float32 [B, C] each: what popularity costs where something new is
        wanted, and the sequential model's opinion, its weight times the log of its probability."""
        penalty = tf.gather(self.penalty, tf.maximum(candidates, 0))
        popularity = -tf.where(discover[:, None], penalty, 0.0)
        if chances is None:
            return popularity, tf.zeros(tf.shape(candidates))
        return popularity, self.opinion(tf.gather(chances, tf.maximum(candidates, 0), batch_dims=1), discover)

    def opinion(self, chance: tf.Tensor, discover: tf.Tensor) -> tf.Tensor:
        """float32 [B, C] of probabilities [B, C]."""
        weight = tf.where(discover, self.config.discover.opinion, self.config.next.opinion)
        return tf.cast(weight, tf.float32)[:, None] * tf.math.log(chance + 1e-9)

    def _rank(self, plays, moment, candidates, features, discover: tf.Tensor) -> tf.Tensor:
        def by(task: str):
            return self.rankers[task](plays, moment, candidates, features)

        def nothing():
            return tf.zeros(tf.shape(candidates))

        new, coming = _by_task(discover, by, nothing)
        return tf.where(discover[:, None], new, coming)


def _by_task(discover: tf.Tensor, by: Callable, nothing: Callable) -> tuple:
    """What the rankers of "discover" and of "next" say, each asked only where a row is its own."""
    new = tf.cond(tf.reduce_any(discover), lambda: by("discover"), nothing)
    coming = tf.cond(tf.reduce_all(discover), nothing, lambda: by("next"))
    return new, coming


def discovers(plays: tf.Tensor, exclude: tf.Tensor) -> tf.Tensor:
    """bool [B]: the current track is among the excluded ones."""
    return tf.reduce_any((exclude == plays[:, :1]) & (exclude >= 0), 1)
