"""The two-stage recommender: many candidate sources, one learned order (after Covington et al. 2016)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from models.data import UNKNOWN, ListeningData
from models.recommend.base import UNRANKED, CatalogueRecommender, Progress, Queries
from models.recommend.two_stage.config import TwoStageConfig
from models.recommend.two_stage.examples import (
    TASKS,
    RankingExamples,
    before,
    discover_moments,
    examples,
    next_moments,
)
from models.recommend.two_stage.lambdamart import fit_lambdamart
from models.recommend.two_stage.tables import Tables
from models.vocabulary import tie_order

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class TwoStage(CatalogueRecommender):
    """Counts who follows whom, gathers candidates from all counts and learns by LambdaMART how to order them.

    One ranker learns the very next play, one the tracks new to the listener; a request that excludes the current track
    is ranked by the second. ``spark``: the session that trains the trees (in this process without one).
    """

    name = "two_stage"
    batch_size = 64

    def __init__(self, config: TwoStageConfig | None = None, spark: SparkSession | None = None):
        super().__init__()
        self.config, self._spark = config or TwoStageConfig(), spark

    def fit(self, data: ListeningData, progress: Progress | None = None) -> TwoStage:
        """``progress`` gets ``epoch`` (the step, from 1), ``seconds`` and what the step counted."""
        from models.recommend.two_stage.trees import Trees

        data = data.in_order(np.argsort(tie_order(data.catalogue.ids)))
        self._learn(data)
        told = _counting(progress)
        learned = {task: self._examples(task, data, told) for task in TASKS}
        self.rankers = {}
        for task in TASKS:
            settings = self.config.of(task).ranker
            seeded = replace(settings, seed=settings.seed + self.config.seed)
            self.rankers[task] = Trees.of(fit_lambdamart(learned[task], seeded, self._spark))
            told(rows=len(learned[task]))
        return self._ready(data, told)

    def refit(self, data: ListeningData, progress: Progress | None = None) -> TwoStage:
        """Counts and sequential model of other data under the rankers of this one: how to weigh evidence changes
        slowly, what there is to weigh changes every day."""
        data = data.in_order(np.argsort(tie_order(data.catalogue.ids)))
        other = TwoStage(self.config, self._spark)
        other._learn(data)
        other.rankers = self.rankers
        return other._ready(data, _counting(progress))

    def _ready(self, data: ListeningData, told: Callable) -> TwoStage:
        """Count and train all that knows plays of listeners, under the rankers there are."""
        from models.recommend.two_stage.scorer import FirstStage, TwoStageScorer
        from models.recommend.two_stage.sequence import SequenceSource

        config, sequence = self.config, None
        if config.sequence is not None:
            settings = replace(config.sequence, seed=config.seed)
            sequence = SequenceSource.fit(data, settings, lambda epoch: told(**epoch))
        stage = FirstStage(Tables.count(data, config), config)
        self.scorer = TwoStageScorer(stage, self.rankers, sequence, data.listeners, config)
        self._scores = _traced(self.scorer)
        return self

    def _examples(self, task: str, data: ListeningData, told: Callable) -> RankingExamples:
        from models.recommend.two_stage.scorer import FirstStage

        config, settings = self.config, self.config.of(task)
        rng = np.random.default_rng(config.seed)
        parts = []
        for cut, end in zip(settings.cuts, [*settings.cuts[1:], 1.0], strict=True):
            stage = FirstStage(Tables.count(data.keep(before(data, cut)), config), config)
            moments = (
                next_moments(data, cut, end, settings.moments, rng)
                if task == "next"
                else discover_moments(data, cut, settings.moments, rng)
            )
            parts.append(examples(data, moments, _first_stage(stage, task, config), config, rng))
            told(cut=cut, moments=len(moments.plays))
        return RankingExamples.joined(parts)

    def scores(self, queries: Queries) -> np.ndarray:
        """float [B, I]: the candidates' scores, NaN for all other tracks."""
        history = padded([plays[-self.config.history :] for plays in queries.histories])
        exclude = padded(queries.exclude or [[]] * len(queries))
        hours, devices = (queries.of_context(name) for name in ("hour", "device"))
        scores = self._scores(history, hours, devices, exclude).numpy()
        return np.where(scores > UNRANKED, scores, np.nan)


def _counting(progress: Progress | None) -> Callable:
    """Reports steps numbered from 1, with the seconds since the first."""
    started, steps = time.monotonic(), itertools.count(1)

    def told(**values: float) -> None:
        if progress is not None:
            progress({**values, "epoch": next(steps), "seconds": time.monotonic() - started})

    return told


def _first_stage(stage, task: str, config: TwoStageConfig) -> Callable:
    """History -> (candidates, features), traced once."""
    import tensorflow as tf

    def asked(history):
        return stage(history, history if task == "discover" else history[:, :0])

    return tf.function(asked, [tf.TensorSpec([None, config.history], tf.int32)], autograph=False)


def _traced(scorer):
    import tensorflow as tf

    indices, vector = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)
    return tf.function(scorer.ranked, input_signature=[indices, vector, vector, indices])


def padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """int32 [B, longest], -1 where a row is shorter."""
    out = np.full((len(rows), max((len(row) for row in rows), default=0)), UNKNOWN, np.int32)
    for to, row in zip(out, rows, strict=True):
        to[: len(row)] = row
    return out
