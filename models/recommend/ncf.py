"""Neural collaborative filtering: GMF, MLP and NeuMF (He et al. 2017), for listeners who need not be known.

The paper gives every user an embedding of their own, which can answer nobody else and knows nothing of what was played
since. Two ways to answer from plays are here:

- ``user="history"`` (default): the listener is the weighted sum of vectors of their latest plays, as in FISM (Kabbur et
  al. 2013) and SVD++ (Koren 2008), trained on what was played after them. All are answered alike.
- ``user="id"``: trained as in the paper. A listener is folded in: each track stands for the mean embedding of those who
  heard it, and the listener for the recency-weighted mean of their tracks, scaled back to the embeddings' usual length.
  ``score_users`` answers those of the training with the embedding itself, for comparison with the paper.

NeuMF is trained from scratch, without the paper's pre-training of its branches. It belongs beside EASE and ALS whenever
it is reported: Rendle et al. (2020) found a tuned dot product no worse than the learned similarity.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from models.data import UNKNOWN, ListeningData
from models.recommend.base import Progress
from models.recommend.by_history import HistoryRecommender
from models.recommend.interactions import recency_query, user_item_matrix
from models.recommend.ncf_config import NcfConfig

ITEM_BLOCK = 2048  # candidates of a batch that are scored at a time: bounds the memory of the hidden layer


class Ncf(HistoryRecommender):
    """Ranks by a learned similarity of listener and track.

    ``progress`` gets, per epoch, ``epoch`` (from 1), ``loss``, ``examples_per_second`` and ``seconds``.
    """

    def __init__(self, config: NcfConfig | None = None):
        super().__init__()
        self.config = config or NcfConfig()
        self.name = self.config.kind + ("_id" if self.config.user == "id" else "")

    def fit(self, data: ListeningData, progress: Progress | None = None) -> Ncf:
        from models.recommend.examples import NegativeSampler
        from models.recommend.ncf_examples import NcfSampler
        from models.recommend.ncf_network import Network
        from models.recommend.ncf_trainer import NcfTrainer

        config, rng = self.config, np.random.default_rng(self.config.seed)
        self._learn(data)
        sampler = NcfSampler(data, config)
        shared = NegativeSampler(data.plays, config.candidates, config.negative_power)
        network = Network(config, data.n_users, data.plays, rng)
        steps = -(-len(sampler) // config.batch_size)
        passes = max(1, math.ceil(config.min_steps / (config.epochs * steps)))
        trainer = NcfTrainer(network, shared.log_chance, config.epochs * passes * steps)
        began = time.monotonic()
        for epoch in range(1, config.epochs + 1):
            started, seen, losses = time.monotonic(), 0, []
            for _ in range(passes):
                for examples in sampler.epoch(rng):
                    drawn = sampler.negatives(examples.users, rng) if config.loss == "bce" else shared.draw(rng)
                    losses.append(trainer.step(examples, drawn))
                    seen += len(examples.users)
            loss = self._checked(float(np.mean([x.numpy() for x in losses])))
            if progress is not None:
                now = time.monotonic()
                rate = seen / (now - started)
                progress({"epoch": epoch, "loss": loss, "examples_per_second": rate, "seconds": now - began})
        self._freeze(network, data)
        return self

    def _checked(self, loss: float) -> float:
        if not math.isfinite(loss):
            rate = self.config.learning_rate
            raise FloatingPointError(f"ncf: the loss became {loss}; lower NcfConfig.learning_rate, now {rate}")
        return loss

    def _freeze(self, network, data: ListeningData) -> None:
        import tensorflow as tf

        self._network = network
        index, vectors = tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, self.config.dim], tf.float32)
        listeners = dict.fromkeys(network.branches, vectors)
        self._logits = tf.function(network.logits, input_signature=[listeners, index])
        self._users = {user: code for code, user in enumerate(data.users)}
        if self.config.user == "id":
            self._proxies = mean_of_listeners(data, network.listeners)
            self._length = self._usual_length(data)

    @property
    def servable(self):
        """None with an embedding a user: strangers are folded in outside of TensorFlow."""
        if self.config.user == "id":
            return None
        import tensorflow as tf

        from models.recommend.ranked import Ranked

        network, n = self._network, len(self.catalogue)
        spec = tf.TensorSpec([None, ITEM_BLOCK], tf.float32)

        def scores(plays):
            listeners = network.by_history(plays)
            blocks = tf.reshape(tf.range(-(-n // ITEM_BLOCK) * ITEM_BLOCK), [-1, ITEM_BLOCK])
            blocks = tf.minimum(blocks, n - 1)
            each = tf.map_fn(lambda block: network.logits(listeners, block), blocks, fn_output_signature=spec)
            return tf.reshape(tf.transpose(each, [1, 0, 2]), [tf.shape(plays)[0], -1])[:, :n]

        return Ranked(scores, self.config.history, network)

    def _usual_length(self, data: ListeningData) -> dict[str, float]:
        """By branch, how much longer embeddings are than means of proxies, over the listeners of the training."""
        sample = np.random.default_rng(0).permutation(data.n_users)[:2000]
        mean = self._mean_of_proxies([data.history(user) for user in sample])
        return {
            branch: float(
                np.linalg.norm(rows.numpy()[sample], axis=1).mean()
                / max(np.linalg.norm(mean[branch], axis=1).mean(), 1e-12)
            )
            for branch, rows in self._network.listeners.items()
        }

    def _mean_of_proxies(self, histories: list[np.ndarray]) -> dict[str, np.ndarray]:
        query = recency_query(histories, len(self.catalogue), self.config.half_life)
        total = np.maximum(np.asarray(query.sum(1)), 1e-12)
        return {branch: (query @ proxies) / total for branch, proxies in self._proxies.items()}

    def listener_vectors(self, histories: list[np.ndarray]) -> dict[str, np.ndarray]:
        """float32 [B, dim] by branch, from the plays alone; zero without plays."""
        if self.config.user == "id":
            mean = self._mean_of_proxies(histories)
            return {branch: (vectors * self._length[branch]).astype(np.float32) for branch, vectors in mean.items()}
        padded = np.full((len(histories), self.config.history), UNKNOWN, np.int32)
        for row, history in zip(padded, histories, strict=True):
            latest = history[::-1][: self.config.history]
            row[: len(latest)] = latest
        return {branch: vectors.numpy() for branch, vectors in self._network.by_history(padded).items()}

    def score_histories(self, histories: list[np.ndarray]) -> np.ndarray:
        return self._score(self.listener_vectors(histories))

    def score_users(self, users: Sequence[str]) -> np.ndarray:
        """float32 [B, I] for users of the training, by their own embedding; ``user="id"`` only.

        Raises ValueError with another setting and KeyError for a user who was not there.
        """
        if self.config.user != "id":
            raise ValueError(f"{self.name}: has no embedding of users; fit it with NcfConfig(user='id')")
        codes = np.array([self._users[user] for user in users], np.int32)
        return self._score({branch: rows.numpy() for branch, rows in self._network.by_id(codes).items()})

    def _score(self, listeners: dict[str, np.ndarray]) -> np.ndarray:
        n = len(self.catalogue)
        blocks = [np.arange(first, min(first + ITEM_BLOCK, n), dtype=np.int32) for first in range(0, n, ITEM_BLOCK)]
        return np.concatenate([self._logits(listeners, block).numpy() for block in blocks], axis=1)


def mean_of_listeners(data: ListeningData, tables) -> dict[str, np.ndarray]:
    """float32 [I, dim] by branch: the mean embedding of the users who played the track, zero where nobody did."""
    heard = user_item_matrix(data).T.tocsr()
    share = sp.diags(1.0 / np.maximum(data.listeners, 1)) @ heard
    return {branch: np.asarray(share @ rows.numpy(), np.float32) for branch, rows in tables.items()}
