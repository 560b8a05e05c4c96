"""Training of the contextual ranker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from models.context import Categories
from models.data import UNKNOWN, Catalogue
from models.recommend.adam import FusedAdam
from models.recommend.two_stage.contextual import ContextualRanker
from models.recommend.two_stage.contextual_config import HEADS, ContextualConfig
from models.recommend.two_stage.contextual_parts import MASKED, SAMPLE, Fields, Pieces
from models.recommend.two_stage.examples import RankingExamples

Progress = Callable[[Mapping[str, float]], None]


def fit_contextual(
    examples: RankingExamples,
    catalogue: Catalogue,
    plays: np.ndarray,
    context_fields: Categories,
    profile_fields: Categories,
    config: ContextualConfig | None = None,
    progress: Progress | None = None,
) -> ContextualRanker:
    """Learn one task's order (``plays``: int [I], plays of each track before the moments).

    Every epoch is used: nothing is stopped or chosen by a hold-out. ``progress`` gets ``epoch`` (from 1), ``loss``
    (nats a moment), ``play_loss``, ``examples_per_second`` (moments) and ``seconds``. Raises ValueError where no moment
    has a right and a wrong candidate, FloatingPointError where the loss stops being a number.
    """
    config = config or ContextualConfig()
    told = examples.relevant.any(1) & ((examples.candidates >= 0) & ~examples.relevant).any(1)
    examples = examples if told.all() else examples[told]
    if not len(examples):
        raise ValueError(
            "contextual: nothing to learn an order from, no moment has a right and a wrong candidate; "
            "ingest more events, or raise TwoStageConfig.candidates"
        )
    ranker = make(examples, catalogue, plays, context_fields, profile_fields, config)
    trainer, rng = Trainer(ranker, -(-len(examples) // config.batch_size)), np.random.default_rng(config.seed)
    started = time.monotonic()
    for epoch in range(1, config.epochs + 1):
        began = time.monotonic()
        loss, play_loss = trainer.epoch(examples, rng)
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"contextual: the loss became {loss}; lower ContextualConfig.learning_rate, now {config.learning_rate}"
            )
        if progress is not None:
            now = time.monotonic()
            progress(
                {
                    "epoch": epoch,
                    "loss": loss,
                    "play_loss": play_loss,
                    "examples_per_second": len(examples) / (now - began),
                    "seconds": now - started,
                }
            )
    return ranker


def make(examples, catalogue, plays, context_fields, profile_fields, config: ContextualConfig) -> ContextualRanker:
    """A ranker before its first step: scales, categories and base rates taken from the examples."""
    rng = np.random.default_rng(config.seed)
    group, place = np.nonzero(examples.candidates >= 0)
    if len(group) > SAMPLE:
        drawn = np.sort(rng.choice(len(group), SAMPLE, replace=False))
        group, place = group[drawn], place[drawn]
    pieces = Pieces.fit(examples.features[group, place].astype(np.float32), config.bins, rng)
    codes = np.concatenate([examples.context, examples.profile], 1)
    sizes = [*context_fields.sizes, *profile_fields.sizes]
    usable = [
        np.bincount(column[(column >= 0) & (column < size)], minlength=size) >= config.min_category
        for column, size in zip(codes.T, sizes, strict=True)
    ]
    fields = Fields(sizes, usable, config.dim, rng, config.init_scale)
    return ContextualRanker(catalogue, plays, pieces, fields, base_rates(examples, config.min_outcomes), config)


def base_rates(examples: RankingExamples, least: int) -> dict[str, float]:
    """Share of positives of the outcomes that have at least ``least`` of both kinds."""
    out = {}
    for head, name in enumerate(HEADS):
        known = examples.outcomes[..., head]
        positive, negative = int((known == 1).sum()), int((known == 0).sum())
        if min(positive, negative) >= max(1, least):
            out[name] = positive / (positive + negative)
    return out


class Trainer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019) on everything but biases; the rate warms up over a
    twentieth of the steps and falls by a cosine."""

    def __init__(self, ranker: ContextualRanker, steps: int):
        self._ranker, self._config = ranker, ranker.config
        self._steps, self._done = steps * self._config.epochs, 0
        self._adam = FusedAdam(ranker.trained)
        self._decayed = [v for v in ranker.trained if len(v.shape) > 1]
        scalar = tf.TensorSpec([], tf.float32)
        shape = tf.TensorSpec([None, None], tf.bool), tf.TensorSpec([None, None, len(HEADS)], tf.int32)
        self._step = tf.function(
            self._update,
            input_signature=[*ranker.signature(), *shape, tf.TensorSpec([2], tf.int32), scalar, scalar, scalar],
        )

    def epoch(self, examples: RankingExamples, rng: np.random.Generator) -> tuple[float, float]:
        """One pass in random order -> mean loss and the play's part of it."""
        losses, order, size = [], rng.permutation(len(examples)), self._config.batch_size
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = examples[rows]
            context, profile = self._hidden(batch, rng)
            loss = self._step(
                tf.constant(batch.history), tf.constant(batch.candidates),
                tf.constant(batch.features.astype(np.float32)), tf.constant(context), tf.constant(profile),
                tf.constant(batch.relevant), tf.constant(batch.outcomes.astype(np.int32)),
                tf.constant([self._config.seed, self._done], tf.int32), tf.constant(self._rate(), tf.float32),
                *self._adam.powers(),
            )  # fmt: skip
            losses.append(len(rows) * np.asarray(loss))
            self._done += 1
        total, play = np.sum(losses, 0) / len(order)
        return float(total), float(play)

    def _hidden(self, batch: RankingExamples, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """int32 context and profile with some fields, and of some moments all, taken for unknown."""
        config, out = self._config, []
        nothing = rng.random((len(batch), 1)) < config.hide_context
        for codes in (batch.context, batch.profile):
            hide = nothing | (rng.random(codes.shape) < config.hide_field)
            out.append(np.where(hide, UNKNOWN, codes).astype(np.int32))
        return out[0], out[1]

    def _rate(self) -> float:
        done = self._done / max(1, self._steps)
        return self._config.learning_rate * min(1.0, (done + 1e-3) / 0.05) * (0.51 + 0.49 * math.cos(math.pi * done))

    def _update(self, history, candidates, features, context, profile, relevant, outcomes, seed, rate, p1, p2):
        config = self._config

        def kept(hidden, layer):
            if not config.dropout:
                return hidden
            drawn = tf.random.stateless_uniform(tf.shape(hidden), seed + [layer * 1_000_003, 0])
            return tf.where(drawn >= config.dropout, hidden / (1 - config.dropout), 0.0)

        with tf.GradientTape() as tape:
            logits = self._ranker.logits(history, candidates, features, context, profile, kept)
            play = listwise(logits[..., 0], relevant, candidates >= 0)
            ends = outcome_loss(logits[..., 1:] + self._ranker.base, outcomes, self._ranker.learned)
            loss = play + config.head_loss * ends
        variables = self._ranker.trained
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        for variable in self._decayed:
            variable.assign_sub(variable * (rate * config.weight_decay))
        self._adam.apply(gradients, rate, p1, p2)
        return tf.stack([loss, play])


def listwise(logits: tf.Tensor, relevant: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    """Mean over moments of the cross entropy between the right candidates, alike, and the softmax of the logits.

    logits float32 [B, C], relevant and there bool [B, C] (Cao et al. 2007, top-one probabilities).
    """
    log_chance = tf.nn.log_softmax(tf.where(there, logits, MASKED))
    right = tf.cast(relevant & there, tf.float32)
    each = tf.reduce_sum(tf.where(right > 0, -log_chance, 0.0), 1) / tf.maximum(tf.reduce_sum(right, 1), 1.0)
    return tf.reduce_mean(each)


def outcome_loss(logits: tf.Tensor, outcomes: tf.Tensor, learned: tf.Tensor) -> tf.Tensor:
    """Sum over the learned heads of the mean cross entropy where the outcome is known.

    logits float32 [B, C, H]; outcomes int32 [B, C, H], -1 unknown; learned float32 [H].
    """
    known = tf.cast(outcomes >= 0, tf.float32) * learned
    loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(outcomes > 0, tf.float32), logits)
    total = tf.reduce_sum(loss * known, [0, 1])
    return tf.reduce_sum(total / tf.maximum(tf.reduce_sum(known, [0, 1]), 1.0))
