"""The training loop: cross-entropy of every next play under the mixture, optimised by Adam."""

from __future__ import annotations

import math

import tensorflow as tf

from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.copying import Grid
from models.recommend.sequence.followers import FollowerTables
from models.recommend.sequence.network import Network
from models.recommend.sequence.ties import TIES, Ties, codes_of
from models.recommend.sequence.windows import Batch, Plays
from models.recommend.towers import MASKED, ItemTower

BETA_1, BETA_2, EPSILON, CLIP = 0.9, 0.98, 1e-8, 1.0


class Trainer:
    """One step is O(P N D) for P targets and N sampled tracks, and O(B T^2) for the heads over the history."""

    def __init__(
        self,
        items: ItemTower,
        network: Network,
        tables: FollowerTables | None,
        attributes: tuple,
        log_chance,
        steps: int,
    ):
        self._items, self._network, self._tables = items, network, tables
        self._config: SequenceConfig = network.config
        self._artists, self._albums = (tf.constant(codes, tf.int32) for codes in attributes)
        self._log_chance = tf.constant(log_chance)
        self._steps, self._done = max(1, steps), 0
        self._variables = [*items.trainable_variables, *network.trainable_variables]
        self._slots = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in self._variables]
        vector, scalar = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.float32)
        self._step = tf.function(self._update, input_signature=[self.signature(), vector, scalar, scalar, scalar])

    def signature(self) -> Batch:
        """The shapes and types of a batch."""
        grid = tf.TensorSpec([None, None], tf.int32)
        return Batch(Plays(*[grid] * len(Plays._fields)), grid, tf.TensorSpec([None], tf.int32))

    def step(self, batch: Batch, negatives) -> tf.Tensor:
        """One update; returns the loss before it (natural log, per target)."""
        self._done += 1
        return self._step(
            tf.nest.map_structure(tf.constant, batch),
            tf.constant(negatives),
            tf.constant(self._config.learning_rate * self.schedule(), tf.float32),
            tf.constant(BETA_1**self._done, tf.float32),
            tf.constant(BETA_2**self._done, tf.float32),
        )

    def schedule(self) -> float:
        """Share of the learning rate now: linear warm-up over 5 % of the steps, then a cosine down to 2 %."""
        progress = min(1.0, self._done / self._steps)
        return min(1.0, progress / 0.05) * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))

    def _update(self, batch: Batch, negatives, rate, power_1, power_2) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss, extra = self.losses(batch, negatives, training=True)
            total = loss + extra
        gradients = tape.gradient(total, self._variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        gradients, _ = tf.clip_by_global_norm([tf.convert_to_tensor(g) for g in gradients], CLIP)
        for variable, gradient, (m, v) in zip(self._variables, gradients, self._slots, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle, m=m.handle, v=v.handle, beta1_power=power_1, beta2_power=power_2, lr=rate,
                beta1=BETA_1, beta2=BETA_2, epsilon=EPSILON, grad=gradient,
            )  # fmt: skip
        return loss

    def losses(self, batch: Batch, negatives, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean -log p of the targets, and what is added for the softmax over the catalogue alone."""
        likelihood, alone = self.likelihoods(batch, negatives, training)
        config = self._config
        if not (config.copy_heads or config.successors):
            return alone, tf.constant(0.0)
        loss = -tf.reduce_mean(tf.boolean_mask(likelihood, batch.targets >= 0))
        return loss, (1.0 if config.loss == "gbce" else config.explore_weight) * alone

    def likelihoods(self, batch: Batch, negatives, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Log probability of each target, float32 [B, T] (of no meaning where there is none), and the mean loss of the
        softmax over the catalogue alone."""
        plays, config, network = batch.plays, self._config, self._network
        items, states = self._encode(batch, training)
        ties = Ties(plays.tracks, self._artists, self._albums, last=False) if config.ties else None
        where = tf.where(batch.targets >= 0)
        explore, alone = self._explore(tf.gather_nd(states, where), tf.gather_nd(batch.targets, where), negatives,
                                       ties, where)  # fmt: skip
        if config.loss == "gbce":
            explore = tf.stop_gradient(explore)  # gBCE has scores of its own scale; the gate takes them as they are
        explore = tf.scatter_nd(where, explore, tf.shape(batch.targets, tf.int64))
        if not (config.copy_heads or config.successors):
            return explore, alone
        grid = Grid(
            plays.tracks, *(codes_of(codes, plays.tracks) for codes in (self._artists, self._albums)), last=False
        )
        followers = None if self._tables is None else self._tables.of(plays.tracks, batch.folds)
        mixed = network.mixture(states, items, grid, followers, ties, last=False)
        return network.likelihood(explore, plays, batch.targets, mixed), alone

    def _encode(self, batch: Batch, training: bool):
        plays = batch.plays
        rows, where = self._rows(tf.maximum(plays.tracks, 0), training)
        items = self._network.embedded(rows, where, plays.tracks >= 0, training)
        return items, self._network.states(items, plays, training)

    def _rows(self, tracks: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Each track of a batch [B, T] embedded once, [N, D], and where it is there, int32 [B, T]."""
        unique, where = tf.unique(tf.reshape(tracks, [-1]))
        own = None
        if training and self._config.track_dropout:
            own = tf.cast(tf.random.uniform([tf.size(unique), 1]) >= self._config.track_dropout, tf.float32)
        return self._items.rows("item", unique, own), tf.reshape(where, tf.shape(tracks))

    def _explore(self, states, targets, negatives, ties: Ties | None, where) -> tuple[tf.Tensor, tf.Tensor]:
        """Log probabilities of the targets [P] over the sampled catalogue, and the loss of it alone; ``where`` says
        at which positions [P, 2] the states [P, D] are."""
        query = self._network.query(states)
        unique, of_target = tf.unique(targets)
        right = tf.reduce_sum(query * tf.gather(self._items.rows("item", unique), of_target), 1)
        right += tf.gather(self._items.bias, targets)
        wrong = tf.matmul(query, self._items.rows("item", negatives), transpose_b=True)
        wrong += tf.gather(self._items.bias, negatives)
        if ties is not None:
            worth = tf.split(self._network.worth(states), len(TIES), axis=1)
            wrong += tf.add_n([flag * w for flag, w in zip(ties.of_all(negatives, where), worth, strict=True)])
            right += tf.add_n([flag * w[:, 0] for flag, w in zip(ties.of_each(targets, where), worth, strict=True)])
        hit = negatives[None, :] == targets[:, None]
        corrected = tf.where(hit, MASKED, wrong - tf.gather(self._log_chance, negatives))
        log_chance = right - tf.reduce_logsumexp(tf.concat([right[:, None], corrected], 1), 1)
        if self._config.loss == "softmax":
            return log_chance, -tf.reduce_mean(log_chance)
        return log_chance, self._gbce(right, wrong, hit)

    def _gbce(self, right: tf.Tensor, wrong: tf.Tensor, hit: tf.Tensor) -> tf.Tensor:
        """Generalised binary cross-entropy: the sigmoid of the right answer to the power beta = a (t (1 - 1/a) + 1/a)
        with a the share of tracks drawn (Petrov & Macdonald 2023, equation 9)."""
        drawn = tf.cast(tf.shape(wrong)[1], tf.float32)
        share = tf.minimum(1.0, drawn / max(1.0, float(len(self._log_chance)) - 1.0))
        beta = share * (self._config.gbce_t * (1 - 1 / share) + 1 / share)
        negative = tf.reduce_sum(tf.where(hit, 0.0, tf.nn.softplus(wrong)), 1)
        return tf.reduce_mean(beta * tf.nn.softplus(-right) + negative) / drawn
