"""The two-tower recommender: fit by :mod:`models.recommend.trainer`, exported by :mod:`models.export`."""

from __future__ import annotations

import math
import time

import numpy as np

from models.data import UNKNOWN, ListeningData
from models.recommend.base import CatalogueRecommender, Progress, Queries
from models.recommend.config import TwoTowerConfig


class TwoTower(CatalogueRecommender):
    """Neural retrieval from a listener's latest plays, hour and device (after Covington et al. 2016, Yi et al. 2019).

    >>> model = TwoTower(TwoTowerConfig(epochs=3)).fit(data, progress=print)
    >>> ids, scores = model.recommend(Requests.of([["track-1", "track-2"]]), k=10)

    ``progress`` gets, per epoch, ``epoch`` (from 1), ``loss``, ``examples_per_second``, ``seconds`` and, where
    ``validation`` (a ``HoldOut``) is given, its metrics on at most ``validation_users`` of its users. They are for the
    learning curve only: nothing is stopped or chosen by them.
    """

    name = "two_tower"

    def __init__(self, config: TwoTowerConfig | None = None, validation=None, validation_users: int = 500):
        super().__init__()
        self.config = config or TwoTowerConfig()
        self._validation = validation.sample(validation_users) if validation is not None else None

    def fit(self, data: ListeningData, progress: Progress | None = None) -> TwoTower:
        import tensorflow as tf

        from models.recommend.examples import ExampleSampler, NegativeSampler
        from models.recommend.trainer import Trainer

        config = self.config
        self._learn(data)
        tf.random.set_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        self.towers = items, user = self._start(data)
        self.heard = data.plays
        examples = ExampleSampler(data, config)
        negatives = NegativeSampler(data.plays, config.negatives, config.negative_power)
        steps = -(-len(examples) // config.batch_size)
        passes = max(1, math.ceil(config.min_steps / (config.epochs * steps)))
        trainer = Trainer(items, user, negatives.log_chance, config.epochs * passes * steps, config)
        memory = self._memory(data) if config.memory_neighbours else None
        self.scorer = self._logits = None
        started = time.monotonic()
        for epoch in range(1, config.epochs + 1):
            report = {"epoch": epoch, **self._epoch(trainer, examples, negatives, passes, rng)}
            report["seconds"] = time.monotonic() - started
            if epoch == config.epochs or self._validation is not None:
                self._freeze(items, user, memory)
            if progress is not None:
                progress(report | self._validate())
        return self

    def _start(self, data: ListeningData):
        """-> (item tower, user tower) as training begins."""
        from models.recommend.towers import ItemTower, UserTower

        return ItemTower(data.catalogue, data.plays, self.config), UserTower(len(self.device_names), self.config)

    def _memory(self, data: ListeningData):
        from models.recommend.memory import TransitionMemory

        return TransitionMemory.count(data, self.config)

    @property
    def device_names(self) -> tuple[str, ...]:
        """The devices it knows, by code."""
        return self.context_fields.names["device"]

    def _epoch(self, trainer, examples, negatives, passes: int, rng: np.random.Generator) -> dict[str, float]:
        began, losses, seen = time.monotonic(), [], 0
        for _ in range(passes):
            for batch in examples.epoch(rng):
                losses.append(trainer.step(batch, negatives.draw(rng)))
                seen += len(batch.targets)
        loss = float(np.mean([value.numpy() for value in losses]))
        if not np.isfinite(loss):
            rate = self.config.learning_rate
            raise FloatingPointError(
                f"two_tower: the loss became {loss}; lower TwoTowerConfig.learning_rate, now {rate}"
            )
        return {"loss": loss, "examples_per_second": seen / (time.monotonic() - began)}

    def scores(self, queries: Queries) -> np.ndarray:
        padded = np.full((len(queries), self.config.history), UNKNOWN, np.int32)
        for row, history in zip(padded, queries.histories, strict=True):
            latest = history[-self.config.history :]
            row[: len(latest)] = latest
        return self._logits(padded, queries.moment).numpy()

    def _freeze(self, items, user, memory) -> None:
        """Take the towers as they are now for answering."""
        import tensorflow as tf

        from models.recommend.towers import Scorer

        parts = [*(items.matrix(role).numpy() for role in ("history", "candidate")), items.bias.numpy()]
        if self.scorer is not None:
            self.scorer.update(*parts)
            return
        self.scorer = Scorer(*parts, user, memory)
        indices = tf.TensorSpec([None, None], tf.int32)
        self._logits = tf.function(self.scorer.logits, input_signature=[indices, indices])

    def _validate(self) -> dict[str, float]:
        if self._validation is None:
            return {}
        from models.evaluation.metrics import evaluate

        return {name: m.value for name, m in evaluate(self, self._validation, intervals=False).metrics.items()}
