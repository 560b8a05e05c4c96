"""The network of neural collaborative filtering: GMF, MLP and their fusion (He et al. 2017)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.recommend.ncf_config import NcfConfig


class Network(tf.Module):
    """score(u, i) = h_G . (p_G * q_G)  +  h_M . MLP([p_M; q_M])  +  b_i, with the branches that ``config.kind`` has.

    The listener's vectors p are their id's rows, or the sum over their latest plays of a vector of the track times a
    factor of the play's age. The bias b is not in the paper; with it the products need not spend dimensions on what
    everybody listens to. The first layer is kept as two matrices, so that W [p; q] = W_p p + W_q q costs a track and a
    listener once each, not once a pair.
    """

    def __init__(self, config: NcfConfig, n_users: int, plays: np.ndarray, rng: np.random.Generator):
        super().__init__(name="ncf")
        self.config = config
        self.branches = {"gmf": ("gmf",), "mlp": ("mlp",), "neumf": ("gmf", "mlp")}[config.kind]

        def table(rows: int, name: str) -> tf.Variable:
            values = rng.normal(0, config.init_scale, (rows, config.dim))
            return tf.Variable(values.astype(np.float32), name=name)

        listeners = n_users if config.user == "id" else len(plays)
        self.items = {branch: table(len(plays), f"items_{branch}") for branch in self.branches}
        self.listeners = {branch: table(listeners, f"{config.user}_{branch}") for branch in self.branches}
        share = np.log((plays + 1.0) / (plays.sum() + len(plays)))
        self.bias = tf.Variable((share - share.mean()).astype(np.float32), name="bias")
        if config.user == "history":
            decay = 0.5 ** (np.arange(config.history) / config.half_life)
            self.by_age = tf.Variable(decay.astype(np.float32), name="by_age")
        if "gmf" in self.branches:
            self.gmf_out = tf.Variable(tf.ones([config.dim]), name="gmf_out")
        if "mlp" in self.branches:
            sizes = (2 * config.dim, *config.layers)
            self.weights = [_glorot(a, b, rng) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
            self.biases = [tf.Variable(tf.zeros([size])) for size in config.layers]
            self.mlp_out = _glorot(config.layers[-1], 1, rng)

    def by_history(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """p of each branch, float32 [B, D], of plays int32 [B, L], newest first, -1 where none."""
        factors = self.by_age * tf.cast(history >= 0, tf.float32)
        tracks, where = tf.unique(tf.reshape(tf.maximum(history, 0), [-1]))  # each is looked up once
        where = tf.reshape(where, tf.shape(history))
        return {
            branch: tf.einsum("bl,bld->bd", factors, tf.gather(tf.gather(rows, tracks), where))
            for branch, rows in self.listeners.items()
        }

    def by_id(self, users: tf.Tensor) -> dict[str, tf.Tensor]:
        """p of each branch, float32 [B, D], of users int32 [B]."""
        return {branch: tf.gather(rows, users) for branch, rows in self.listeners.items()}

    def logits(self, listeners: dict[str, tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """float32 [B, C]: scores of each listener's own candidates, int32 [B, C], or of shared ones, int32 [C]."""
        score = tf.gather(self.bias, items)
        if "gmf" in self.branches:
            query, rows = listeners["gmf"] * self.gmf_out, tf.gather(self.items["gmf"], items)
            own = len(items.shape) == 2
            score += tf.einsum("bd,bcd->bc", query, rows) if own else tf.matmul(query, rows, transpose_b=True)
        if "mlp" in self.branches:
            of_user, of_item = tf.split(self.weights[0], 2)
            rows = tf.tensordot(tf.gather(self.items["mlp"], items), of_item, 1)
            hidden = tf.matmul(listeners["mlp"], of_user)[:, None] + rows + self.biases[0]
            for weights, bias in zip(self.weights[1:], self.biases[1:], strict=True):
                hidden = tf.tensordot(tf.nn.relu(hidden), weights, 1) + bias
            score += tf.squeeze(tf.tensordot(tf.nn.relu(hidden), self.mlp_out, 1), -1)
        return score

    def touched(self, listeners: dict[str, tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        """Sum of the squared norms of the listeners' vectors and of the rows of ``items``."""
        rows = [tf.gather(table, items) for table in self.items.values()]
        return tf.add_n([tf.reduce_sum(tf.square(x)) for x in [*rows, *listeners.values()]])


def _glorot(rows: int, columns: int, rng: np.random.Generator) -> tf.Variable:
    limit = np.sqrt(6 / (rows + columns))
    return tf.Variable(rng.uniform(-limit, limit, (rows, columns)).astype(np.float32))
