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
from models.recommend.two_stage.examples import RankingExamples
from models.recommend.two_stage.groundwork import Ground, Groundwork, Part, prepared
from models.recommend.two_stage.lambdamart import fit_lambdamart
from models.recommend.two_stage.moments import TASKS
from models.vocabulary import tie_order

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from models.recommend.two_stage.rankers import NetworkRanker, TreeRanker
    from models.recommend.two_stage.student import StudentRanker


class TwoStage(CatalogueRecommender):
    """Counts who follows whom, gathers candidates from all counts and learns how to order them: by LambdaMART, by a
    small network distilled from it, or by the contextual network, as ``config.ranker`` says.

    One ranker learns the very next play, one the tracks new to the listener; a request that excludes the current track
    is ranked by the second. ``spark``: the session that trains the trees (in this process without one);
    ``groundwork``: of a rival of the same settings, whose first stage and examples are used too.
    """

    name = "two_stage"
    batch_size = 64

    def __init__(
        self,
        config: TwoStageConfig | None = None,
        spark: SparkSession | None = None,
        groundwork: Groundwork | None = None,
    ):
        super().__init__()
        self.config, self._spark = config or TwoStageConfig(), spark
        self._groundwork = groundwork or Groundwork(self.config)

    def fit(self, data: ListeningData, progress: Progress | None = None) -> TwoStage:
        """``progress`` gets ``epoch`` (the step, from 1), ``seconds`` and what the step counted."""
        told = _counting(progress)
        data = self._groundwork.ordered(data)
        self._learn(data)
        ground = self._groundwork.of(data, told)
        learn = {"trees": self._trees, "student": self._student, "network": self._network}[self.config.ranker]
        self.rankers = {task: learn(task, data, ground, told) for task in TASKS}
        return self._ready(data, ground.stage, ground.sequence)

    def refit(self, data: ListeningData, progress: Progress | None = None) -> TwoStage:
        """Counts and sequential model of other data under the rankers of this one: how to weigh evidence changes
        slowly, what there is to weigh changes every day."""
        data = data.in_order(np.argsort(tie_order(data.catalogue.ids)))
        other = TwoStage(self.config, self._spark)
        other._learn(data)
        stage, extra, sequence = prepared(data, self.config, _counting(progress), self.scorer.sequence)
        of_new = {"extra": extra, "mine": self.catalogue, "theirs": data.catalogue}
        other.rankers = {task: ranker.over(**of_new) for task, ranker in self.rankers.items()}
        return other._ready(data, stage, sequence)

    def _ready(self, data: ListeningData, stage, sequence) -> TwoStage:
        from models.recommend.two_stage.scorer import TwoStageScorer

        self.scorer = TwoStageScorer(stage, self.rankers, sequence, data.listeners, self.config)
        self._scores = _traced(self.scorer)
        return self

    def _trees(self, task: str, data: ListeningData, ground: Ground, told: Callable) -> TreeRanker:
        return self._groundwork.trees(task, lambda: self._learned_trees(task, ground, told))

    def _learned_trees(self, task: str, ground: Ground, told: Callable) -> TreeRanker:
        from models.recommend.two_stage.rankers import TreeRanker
        from models.recommend.two_stage.trees import Trees

        settings = self.config.of(task).ranker
        seeded = replace(settings, seed=settings.seed + self.config.seed)
        rows = joined_rows(ground.parts[task])
        trees = Trees.of(fit_lambdamart(*rows, seeded, self._spark))
        told(rows=len(rows[1]))
        return TreeRanker(trees, ground.extra)

    def _student(self, task: str, data: ListeningData, ground: Ground, told: Callable) -> StudentRanker:
        from models.recommend.two_stage.student import StudentRanker

        teacher = self._trees(task, data, ground, told)
        settings = replace(self.config.student, seed=self.config.student.seed + self.config.seed)
        return StudentRanker.distil(teacher, ground.parts[task], settings, lambda epoch: told(**epoch))

    def _network(self, task: str, data: ListeningData, ground: Ground, told: Callable) -> NetworkRanker:
        from models.recommend.two_stage.contextual_trainer import fit_contextual
        from models.recommend.two_stage.rankers import NetworkRanker

        learned = RankingExamples.joined([part.examples for part in ground.parts[task]])
        settings = replace(self.config.network, seed=self.config.network.seed + self.config.seed)
        nothing = np.zeros(data.n_tracks, np.int64)
        network = fit_contextual(
            learned, data.catalogue, nothing, data.context_fields, data.profile_fields, settings,
            lambda epoch: told(**epoch),
        )  # fmt: skip
        return NetworkRanker(network)

    def scores(self, queries: Queries) -> np.ndarray:
        """float [B, I]: the candidates' scores, NaN for all other tracks."""
        history = padded([plays[-self.config.history :] for plays in queries.histories])
        exclude = padded(queries.exclude or [[]] * len(queries))
        scores = self._scores(history, queries.moment, exclude).numpy()
        return np.where(scores > UNRANKED, scores, np.nan)


def joined_rows(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features with those of the moment float32 [R, F], relevant float32 [R], moment int32 [R]) of several cuts."""
    from models.recommend.two_stage.context_features import appended

    found, start = [], 0
    for examples, extra in parts:
        features, relevant, group = examples.rows()
        wider = appended(features, extra, examples, group)
        found.append((wider, relevant, group + start))
        start += len(examples)
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _counting(progress: Progress | None) -> Callable:
    """Reports steps numbered from 1, with the seconds since the first."""
    started, steps = time.monotonic(), itertools.count(1)

    def told(**values: float) -> None:
        if progress is not None:
            progress({**values, "epoch": next(steps), "seconds": time.monotonic() - started})

    return told


def _traced(scorer):
    import tensorflow as tf

    indices = tf.TensorSpec([None, None], tf.int32)
    return tf.function(scorer.ranked, input_signature=[indices, indices, indices])


def padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """int32 [B, longest], -1 where a row is shorter."""
    out = np.full((len(rows), max((len(row) for row in rows), default=0)), UNKNOWN, np.int32)
    for to, row in zip(out, rows, strict=True):
        to[: len(row)] = row
    return out
