"""The two-tower recommender: fit by :mod:`models.recommend.trainer`, exported by :mod:`models.export`."""

from __future__ import annotations

import logging
import time

import numpy as np

from models.data import UNKNOWN, ListeningData
from models.recommend.base import CatalogueRecommender, Progress
from models.recommend.config import TwoTowerConfig

log = logging.getLogger(__name__)


class TwoTower(CatalogueRecommender):
    """Neural retrieval from a listener's latest plays, hour and device (after Covington et al. 2016, Yi et al. 2019).

    >>> model = TwoTower(TwoTowerConfig(epochs=3)).fit(data, progress=print)
    >>> ids, scores = model.recommend([["track-1", "track-2"]], k=10, exclude=[["track-1", "track-2"]])

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
        from models.recommend.memory import CrossFittedTransitions
        from models.recommend.towers import ItemTower, UserTower
        from models.recommend.trainer import Trainer

        config = self.config
        self._learn_catalogue(data.catalogue)
        self.device_names = data.device_names
        tf.random.set_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        items, user = ItemTower(data.catalogue, data.plays, config), UserTower(len(data.device_names), config)
        examples = ExampleSampler(data, config)
        negatives = NegativeSampler(data.plays, config.negatives, config.negative_power)
        steps = config.epochs * -(-len(examples) // config.batch_size)
        self._memory = CrossFittedTransitions(data, config) if config.memory_neighbours else None
        trainer = Trainer(items, user, self._memory, negatives.log_chance, steps, config)
        started = time.monotonic()
        for epoch in range(1, config.epochs + 1):
            began, losses, seen = time.monotonic(), [], 0
            for batch in examples.epoch(rng):
                losses.append(trainer.step(batch, negatives.draw(rng)))
                seen += len(batch.targets)
            loss = float(np.mean([value.numpy() for value in losses]))
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"two_tower: loss is {loss} in epoch {epoch}; lower TwoTowerConfig.learning_rate, now "
                    f"{config.learning_rate}"
                )
            now = time.monotonic()
            report = {
                "epoch": epoch,
                "loss": loss,
                "examples_per_second": seen / (now - began),
                "seconds": now - started,
            }
            if progress is not None:
                progress(report | self._validate(items, user, trainer))
        self._freeze(items, user, trainer)
        return self

    def scores(self, histories: list[np.ndarray], hours: np.ndarray, devices: list[str]) -> np.ndarray:
        codes = {name: code for code, name in enumerate(self.device_names)}
        padded = np.full((len(histories), self.config.history), UNKNOWN, np.int32)
        for row, history in zip(padded, histories, strict=True):
            latest = history[-self.config.history :]
            row[: len(latest)] = latest
        return self._logits(
            padded, np.asarray(hours, np.int32), np.array([codes.get(d, -1) for d in devices], np.int32)
        ).numpy()

    def _freeze(self, items, user, trainer) -> None:
        import tensorflow as tf

        from models.recommend.memory import TransitionMemory
        from models.recommend.towers import Scorer

        memory = None if self._memory is None else TransitionMemory(*self._memory.full, trainer.memory_by_age.numpy())
        matrices = (items.matrix(role).numpy() for role in ("history", "candidate"))
        self.scorer = Scorer(*matrices, items.bias.numpy(), user, memory)
        vector = tf.TensorSpec([None], tf.int32)
        self._logits = tf.function(
            self.scorer.logits, input_signature=[tf.TensorSpec([None, None], tf.int32), vector, vector]
        )

    def _validate(self, items, user, trainer) -> dict[str, float]:
        if self._validation is None:
            return {}
        from models.evaluation.metrics import evaluate

        self._freeze(items, user, trainer)
        return {name: m.value for name, m in evaluate(self, self._validation, intervals=False).metrics.items()}
