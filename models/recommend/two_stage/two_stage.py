"""The two-stage recommender: many candidate sources, one learned order (after Covington et al. 2016)."""

from __future__ import annotations

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
        started, steps = time.monotonic(), 0

        def told(**values: float) -> None:
            nonlocal steps
            steps += 1
            if progress is not None:
                progress({"epoch": steps, "seconds": time.monotonic() - started, **values})

        learned = self._examples(data, told)
        self.rankers = {}
        for task in TASKS:
            settings = self.config.of(task).ranker
            seeded = replace(settings, seed=settings.seed + self.config.seed)
            self.rankers[task] = Trees.of(fit_lambdamart(learned[task], seeded, self._spark))
            told(rows=len(learned[task]))
        return self._ready(data)

    def refit(self, data: ListeningData, progress: Progress | None = None) -> TwoStage:
        """Counts over other data under the rankers of this model: how to weigh evidence changes slowly."""
        data = data.in_order(np.argsort(tie_order(data.catalogue.ids)))
        other = TwoStage(self.config, self._spark)
        other._learn(data)
        other.rankers = self.rankers
        started = time.monotonic()
        other._ready(data)
        if progress is not None:
            progress({"epoch": 1, "seconds": time.monotonic() - started})
        return other

    def _ready(self, data: ListeningData) -> TwoStage:
        from models.recommend.two_stage.scorer import TwoStageScorer

        self.scorer = TwoStageScorer(self._stage(data), self.rankers, data.listeners, self.config)
        self._scores = _traced(self.scorer)
        return self

    def _examples(self, data: ListeningData, told) -> dict[str, RankingExamples]:
        config, rng = self.config, np.random.default_rng(self.config.seed)
        ends = [*config.cuts[1:], 1.0]
        parts: dict[str, list[RankingExamples]] = {task: [] for task in TASKS}
        for cut, end in zip(config.cuts, ends, strict=True):
            first_stage = _first_stage(self._stage(data.keep(before(data, cut))), config)
            asked = {
                "next": next_moments(data, cut, end, config.next.moments, rng),
                "discover": discover_moments(data, cut, config.discover.moments, rng),
            }
            for task, moments in asked.items():
                parts[task].append(examples(data, moments, first_stage[task], config, rng))
            told(cut=cut, moments=sum(len(m.plays) for m in asked.values()))
        return {task: RankingExamples.joined(found) for task, found in parts.items()}

    def _stage(self, data: ListeningData):
        from models.recommend.two_stage.neural import SequenceSource
        from models.recommend.two_stage.scorer import FirstStage

        neural = []
        if self.config.sequence is not None:
            neural.append(SequenceSource.fit(data, replace(self.config.sequence, seed=self.config.seed)))
        return FirstStage(Tables.count(data, self.config), self.config, neural)

    def scores(self, queries: Queries) -> np.ndarray:
        """float [B, I]: the candidates' scores, NaN for all other tracks."""
        history = padded([plays[-self.config.history :] for plays in queries.histories])
        exclude = padded(queries.exclude or [[]] * len(queries))
        hours, devices = (queries.of_context(name) for name in ("hour", "device"))
        scores = self._scores(history, hours, devices, exclude).numpy()
        return np.where(scores > UNRANKED, scores, np.nan)


def _first_stage(stage, config: TwoStageConfig) -> dict[str, Callable]:
    """task -> history -> (candidates, features), traced once."""
    import tensorflow as tf

    histories = tf.TensorSpec([None, config.history], tf.int32)
    return {
        "next": tf.function(lambda history: stage(history, history[:, :0]), [histories], autograph=False),
        "discover": tf.function(lambda history: stage(history, history), [histories], autograph=False),
    }


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
