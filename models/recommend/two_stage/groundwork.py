"""What rival rankers have in common: examples to learn from, the first stage, the sequential model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.data import ListeningData
from models.recommend.two_stage.config import TaskConfig, TwoStageConfig
from models.recommend.two_stage.examples import RankingExamples, ranking_examples
from models.recommend.two_stage.moments import TASKS, before, discover_moments, next_moments
from models.vocabulary import tie_order

if TYPE_CHECKING:
    from models.recommend.two_stage.context_features import ContextFeatures
    from models.recommend.two_stage.rankers import TreeRanker
    from models.recommend.two_stage.scorer import FirstStage
    from models.recommend.two_stage.sequence import SequenceSource


class Part(NamedTuple):
    """Examples of one cut, and what the plays before it say of moments."""

    examples: RankingExamples
    extra: ContextFeatures


class Ground(NamedTuple):
    """parts: examples by task; the rest is counted and trained on all plays."""

    parts: dict[str, list[Part]]
    stage: FirstStage
    extra: ContextFeatures
    sequence: SequenceSource | None


class Groundwork:
    """Made once for the same data, however many rankers ask."""

    def __init__(self, config: TwoStageConfig):
        self.config = config
        self._asked: tuple[ListeningData, ListeningData] | None = None
        self._last: tuple[ListeningData, Ground] | None = None
        self._trees: dict[str, TreeRanker] = {}

    def ordered(self, data: ListeningData) -> ListeningData:
        """The same data with the catalogue in tie order, the same object for the same data."""
        if self._asked is None or self._asked[0] is not data:
            self._asked = data, data.in_order(np.argsort(tie_order(data.catalogue.ids)))
        return self._asked[1]

    def of(self, data: ListeningData, told: Callable) -> Ground:
        """told: called with what each step counted."""
        if self._last is None or self._last[0] is not data:
            parts = {task: self.parts(task, data, told) for task in TASKS}
            self._last, self._trees = (data, Ground(parts, *prepared(data, self.config, told))), {}
        return self._last[1]

    def trees(self, task: str, learn: Callable[[], TreeRanker]) -> TreeRanker:
        """The trees of a task, learned once for the data last asked of: a student learns from its rival."""
        if task not in self._trees:
            self._trees[task] = learn()
        return self._trees[task]

    def parts(self, task: str, data: ListeningData, told: Callable) -> list[Part]:
        """The examples of one task, made anew; ``data`` as from :meth:`ordered`."""
        return list(self._parts(task, data, told))

    def _parts(self, task: str, data: ListeningData, told: Callable):
        from models.recommend.two_stage.context_features import ContextFeatures, telling_fields
        from models.recommend.two_stage.scorer import FirstStage
        from models.recommend.two_stage.tables import Tables

        config, settings = self.config, self.config.of(task)
        rng, fields = np.random.default_rng(config.seed), telling_fields(data)
        for cut, end in zip(settings.cuts, [*settings.cuts[1:], 1.0], strict=True):
            counted = data.keep(before(data, cut))
            stage = traced(FirstStage(Tables.count(counted, config), config), task, config)
            moments = (
                next_moments(data, cut, end, settings.moments, rng)
                if task == "next"
                else discover_moments(data, cut, settings.moments, rng)
            )
            found = ranking_examples(
                data, moments, stage, width(task, settings), settings.hard_negatives, rng,
                history=config.history, ahead=config.ahead, completed=config.network.completed,
                batch_size=config.batch_size,
            )  # fmt: skip
            told(cut=cut, moments=len(moments.plays), usable=len(found))
            yield Part(found, ContextFeatures.count(counted, fields=fields))


def prepared(data: ListeningData, config: TwoStageConfig, told: Callable, before: SequenceSource | None = None):
    """-> first stage, context features and sequential model of all plays; ``before``: that of earlier ones."""
    from models.recommend.two_stage.context_features import ContextFeatures, telling_fields
    from models.recommend.two_stage.scorer import FirstStage
    from models.recommend.two_stage.sequence import SequenceSource
    from models.recommend.two_stage.tables import Tables

    sequence = None
    if config.sequence is not None:
        settings = replace(config.sequence, seed=config.seed)

        def learned(epoch):
            told(**epoch)

        sequence = before.refit(data, learned) if before else SequenceSource.fit(data, settings, learned)
    stage = FirstStage(Tables.count(data, config), config)
    return stage, ContextFeatures.count(data, fields=telling_fields(data)), sequence


def width(task: str, settings: TaskConfig) -> int:
    """Candidates kept of each moment; "discover" has several right ones."""
    wrong = settings.hard_negatives + settings.easy_negatives
    return wrong + (1 if task == "next" else wrong // 8)


def traced(stage, task: str, config: TwoStageConfig) -> Callable:
    """History -> (candidates, features), traced once."""
    import tensorflow as tf

    def asked(history):
        return stage(history, history if task == "discover" else history[:, :0])

    return tf.function(asked, [tf.TensorSpec([None, config.history], tf.int32)], autograph=False)
