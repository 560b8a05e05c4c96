"""The sequential recommenders: fit by :mod:`models.recommend.sequence.training`, answered by ``scorer``."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.data import ListeningData
from models.recommend.base import CatalogueRecommender, Progress, Queries
from models.recommend.sequence.config import GRU4RecConfig, SequenceConfig, TransformerConfig
from models.recommend.sequence.long_term import LongTerm
from models.recommend.sequence.windows import Plays, Windows, plays_of

REFIT_RATE = 0.3
"""Learning rate of the pass over new data, as a share of that of a first fit."""


class SequenceRecommender(CatalogueRecommender):
    """Predicts the next play from all plays before it. There is no embedding of listeners.

    ``progress`` gets, per epoch, ``epoch`` (from 1), ``loss`` (natural log, per target), ``examples_per_second`` and
    ``seconds``. After ``fit``, ``scorer`` is a ``tf.Module`` that other modules can hold.
    """

    config_class: type[SequenceConfig] = SequenceConfig
    batch_size = 64

    def __init__(self, config: SequenceConfig | None = None):
        super().__init__()
        self.config = config or self.config_class()
        if not isinstance(self.config, self.config_class):
            raise TypeError(
                f"{self.name}: config is a {type(self.config).__name__}; give a {self.config_class.__name__}"
            )

    def fit(self, data: ListeningData, progress: Progress | None = None) -> SequenceRecommender:
        return self._fit(data, self.config, None, progress)

    def refit(self, data: ListeningData, progress: Progress | None = None) -> SequenceRecommender:
        """A model of the same catalogue's other plays, from what this one has learned: one pass over them at a lower
        rate. Of another catalogue, or where one of both has no clock, it is fit from nothing."""
        other = type(self)(self.config)
        same_clock = self._learned[1].clock == (self.config.clock and data.times is not None)
        if not same_clock or not np.array_equal(data.catalogue.ids, self.catalogue.ids):
            return other.fit(data, progress)
        once = replace(self.config, epochs=1, learning_rate=REFIT_RATE * self.config.learning_rate)
        return other._fit(data, once, self, progress)

    def _fit(self, data, config: SequenceConfig, start: SequenceRecommender | None, progress) -> SequenceRecommender:
        import tensorflow as tf

        from models.recommend.examples import NegativeSampler
        from models.recommend.sequence.followers import FollowerTables
        from models.recommend.sequence.network import Network
        from models.recommend.towers import ItemTower

        self._learn(data)
        tf.random.set_seed(config.seed)
        rng = np.random.default_rng(config.seed)
        windows = self._windows(data)
        items = ItemTower(data.catalogue, data.plays, config, roles=("item",))
        if config.loss == "gbce":  # its scores are log-odds of each track on its own: start at the rate of plays
            items.bias.assign(np.log((data.plays + 1.0) / (data.n_plays + data.n_tracks)).astype(np.float32))
        network = Network(config, clock=config.clock and data.times is not None)
        if start is not None:
            for mine, learned in zip((items, network), start._learned, strict=True):
                for variable, value in zip(mine.trainable_variables, learned.trainable_variables, strict=True):
                    variable.assign(value)
        negatives = NegativeSampler(data.plays, config.negatives, config.negative_power)
        held_out = FollowerTables.count(data, config, held_out=True) if config.successors else None
        attributes = (data.catalogue.artist, data.catalogue.album)
        trainer = self._trainer(
            items, network, held_out, attributes, negatives.log_chance, config.epochs * windows.steps
        )
        started = time.monotonic()
        for epoch in range(1, config.epochs + 1):
            report = {"epoch": epoch, **self._epoch(trainer, windows, negatives, rng)}
            if progress is not None:
                progress(report | {"seconds": time.monotonic() - started})
        del trainer, held_out
        self._learned = items, network
        self._freeze(data, items, network)
        return self

    def _windows(self, data: ListeningData):
        """The batches to learn from."""
        return Windows(data, self.config)

    def _trainer(self, *arguments):
        """See :class:`models.recommend.sequence.training.Trainer`."""
        from models.recommend.sequence.training import Trainer

        return Trainer(*arguments)

    def _epoch(self, trainer, windows: Windows, negatives, rng: np.random.Generator) -> dict[str, float]:
        began, losses, counts = time.monotonic(), [], []
        for batch in windows.epoch(rng):
            losses.append(trainer.step(batch, negatives.draw(rng)))
            counts.append(int((batch.targets >= 0).sum()))
        loss = float(np.average([value.numpy() for value in losses], weights=counts))
        if not np.isfinite(loss):
            setting = f"{type(self.config).__name__}.learning_rate, now {self.config.learning_rate}"
            raise FloatingPointError(f"{self.name}: the loss became {loss}; lower {setting}")
        return {"loss": loss, "examples_per_second": sum(counts) / (time.monotonic() - began)}

    def _freeze(self, data: ListeningData, items, network) -> None:
        import tensorflow as tf

        from models.recommend.sequence.followers import FollowerTables
        from models.recommend.sequence.scorer import SequenceScorer

        tables = FollowerTables.count(data, self.config, held_out=False) if self.config.successors else None
        rows, catalogue = items.matrix("item").numpy(), data.catalogue
        self.scorer = SequenceScorer(network, rows, items.bias.numpy(), catalogue.artist, catalogue.album, tables)
        memory = f"{self.config.decays}".encode()
        self.version = hashlib.sha256(rows.tobytes() + memory).hexdigest()[:12]
        grid = tf.TensorSpec([None, None], tf.int32)
        plays = Plays(*[grid] * len(Plays._fields))
        before = (tf.TensorSpec([None, self.config.memory_dim], tf.float32), tf.TensorSpec([None], tf.int32))
        self._score = tf.function(self.scorer.log_probabilities, input_signature=[plays, before])

    @property
    def servable(self):
        from models.recommend.ranked import Ranked

        return Ranked(self.scorer, self.config.history)

    def scores(self, queries: Queries) -> np.ndarray:
        """float32 [B, I]: log probabilities of the next play, in sessions of the history itself."""
        return self.scores_beside(queries, [LongTerm.empty(self.config.memory_dim, self.version)] * len(queries))

    def scores_beside(self, queries: Queries, memories: Sequence[LongTerm]) -> np.ndarray:
        """The same with what is remembered of sessions before the histories, one a query."""
        for memory in memories:
            if memory.version != self.version:
                raise ValueError(
                    f"{self.name}: a memory of version {memory.version!r}, the model's is {self.version!r}"
                )
        vectors = np.stack([memory.vector for memory in memories]).astype(np.float32)
        counts = np.asarray([memory.sessions for memory in memories], np.int32)
        return self._score(plays_of(queries, self.config), (vectors, counts)).numpy()

    def remember(self, memory: LongTerm | None, session: Sequence[str]) -> LongTerm:
        """The memory of a listener after a session is closed, from the one before (None: the first) and the raw ids of
        its plays. Unknown tracks are left out."""
        memory = memory or LongTerm.empty(self.config.memory_dim, self.version)
        rows = self.scorer.rows.numpy()[self.catalogue.vocabulary.known(session)]
        return memory.closed(rows, self.config.decays, self.version)


class GRU4Rec(SequenceRecommender):
    """A recurrent network over the plays (Hidasi et al. 2016, Hidasi & Karatzoglou 2018), with heads that copy.

    >>> model = GRU4Rec(GRU4RecConfig(epochs=3)).fit(data, progress=print)
    >>> ids, scores = model.recommend(Requests.of([["track-1", "track-2"]]), k=10)
    """

    name = "gru4rec"
    config_class = GRU4RecConfig


class Transformer(SequenceRecommender):
    """Causal self-attention over the plays (SASRec, Kang & McAuley 2018), with heads that copy.

    >>> model = Transformer(TransformerConfig(epochs=3)).fit(data, progress=print)
    """

    name = "transformer"
    config_class = TransformerConfig
