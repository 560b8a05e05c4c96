"""The contextual ranker: a network that scores a moment's candidates by evidence, moment, listener and recent plays.

A candidate is the sum of the embeddings of its artist, album, genre and sound. It asks the moment's fields (hour,
weekday, month, device, activity, network, country, weather, temperature, and the listener's profile) and the latest
plays by attention (target attention, Zhou et al. 2018, "Deep interest network"); the products of the candidate with
what they answer say how its sound suits the moment (a factorisation machine's crosses, Rendle 2010). A network over
these and the features of the first stage has five outputs: is it played here (softmax over the moment's candidates,
listwise as in Cao et al. 2007), and, of a play, is it heard to the end, skipped, liked, put on a playlist.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from models.context import FIELDS, PROFILE_FIELDS
from models.data import Catalogue
from models.recommend.towers import ROLES, ItemTower
from models.recommend.two_stage.contextual_config import HEADS, ContextualConfig
from models.recommend.two_stage.contextual_parts import Attention, Fields, Pieces


class ContextualRanker(tf.Module):
    """Scores candidates each for itself: their order, and which others there are, changes nothing.

    >>> score = ranker(history, candidates, features, context, profile)         # float32 [B, C]

    history: int32 [B, L], newest first, -1 after the last play; candidates: int32 [B, C], -1 for none; features:
    float32 [B, C, F]; context: int32 [B, 9], codes in the order of ``models.context.FIELDS``; profile: int32 [B, 4] of
    ``PROFILE_FIELDS``; -1 (and any code that training did not know) contributes nothing.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        plays: np.ndarray,
        pieces: Pieces,
        fields: Fields,
        base_rates: Mapping[str, float],
        config: ContextualConfig,
    ):
        """base_rates: of the outcomes that are learned; heads without one weigh nothing."""
        super().__init__(name="contextual")
        rng, dim = np.random.default_rng(config.seed), config.dim
        self.config, self.pieces, self.fields = config, pieces, fields
        self.n_features = int(pieces.low.shape[0])
        self.items = ItemTower(catalogue, plays if config.track_embeddings else np.zeros_like(plays), config, ROLES)
        self.by_moment = Attention(len(FIELDS) + len(PROFILE_FIELDS), dim, rng, "by_moment")
        self.by_plays = Attention(config.history, dim, rng, "by_plays")
        outputs, inputs = 1 + len(HEADS), self.n_features * (pieces.bins + 1) + 5 * dim
        self.layers = []
        for n, width in enumerate(config.hidden):
            start = rng.normal(0, (2 / inputs) ** 0.5, (inputs, width)).astype(np.float32)
            self.layers.append(
                (tf.Variable(start, name=f"layer_{n}"), tf.Variable(tf.zeros([width]), name=f"bias_{n}"))
            )
            inputs = width
        self.out = tf.Variable(rng.normal(0, inputs**-0.5, (inputs, outputs)).astype(np.float32) * 0.1, name="out")
        self.crosses = tf.Variable(np.ones((2 * dim, outputs), np.float32) * 0.5, name="crosses")
        known = [name in base_rates for name in HEADS]
        rates = np.array([base_rates.get(name, 0.5) for name in HEADS], np.float64)
        base = np.log(rates / (1 - rates)).astype(np.float32)
        self.base = tf.Variable(base, trainable=False, name="base")
        self.learned = tf.Variable(np.asarray(known, np.float32), trainable=False, name="learned")
        weights = np.asarray(config.weights.values(), np.float32) * known
        self.head_weights = tf.Variable(weights, trainable=False, name="head_weights")

    @property
    def trained(self) -> list[tf.Variable]:
        """What training changes."""
        return [v for v in self.trainable_variables if v is not self.items.bias]

    def signature(self) -> list[tf.TensorSpec]:
        """Of the arguments, for ``tf.function`` and export."""
        pair = tf.TensorSpec([None, None], tf.int32)
        features = tf.TensorSpec([None, None, self.n_features], tf.float32)
        moment, listener = (tf.TensorSpec([None, len(names)], tf.int32) for names in (FIELDS, PROFILE_FIELDS))
        return [pair, pair, features, moment, listener]

    def __call__(self, history, candidates, features, context, profile, seen=None) -> tf.Tensor:
        """float32 [B, C]: play + weights . (outcomes against their base rates), see ``HeadWeights``."""
        logits = self.logits(history, candidates, features, context, profile, seen=seen)
        return logits[..., 0] + tf.linalg.matvec(logits[..., 1:], self.head_weights)

    def heads(self, history, candidates, features, context, profile) -> dict[str, tf.Tensor]:
        """float32 [B, C] each: "play", a logit that means something against the others of the moment, and the
        probability of each outcome should the candidate be played (of all plays alike where the head is not learned).
        """
        logits = self.logits(history, candidates, features, context, profile)
        chances = tf.sigmoid(logits[..., 1:] * self.learned + self.base)
        return {"play": logits[..., 0]} | {name: chances[..., i] for i, name in enumerate(HEADS)}

    def known(self, history, context, profile) -> tuple[tf.Tensor, tf.Tensor]:
        """1 where there is a play (float32 [B, L]) and where a field says something (float32 [B, S]), else 0."""
        played = tf.cast(history[:, : self.config.history] >= 0, tf.float32)
        return played, self.fields.known(tf.concat([context, profile], 1))

    def logits(
        self, history, candidates, features, context, profile, kept=lambda hidden, layer: hidden, seen=None
    ) -> tf.Tensor:
        """float32 [B, C, 1 + heads]: the play, and each outcome less its base rate. ``kept``: dropout in training.

        seen: how far each candidate sees each play (float32 [B, C, L]) and each field (float32 [B, C, S]), 0 to 1;
        what :meth:`known` says by default.
        """
        track = self.items.rows("candidate", tf.maximum(candidates, 0))
        seen = seen or tuple(part[:, None] for part in self.known(history, context, profile))
        return self.combined(self.pieces(features), track, self.slots(history, context, profile), seen, kept)

    def slots(self, history, context, profile) -> tuple[tf.Tensor, tf.Tensor]:
        """What is attended to: the latest plays, float32 [B, L, D], and the fields, float32 [B, S, D]; 0 where there is
        no play and where a field says nothing."""
        played, _ = self.known(history, context, profile)
        plays = self.items.rows("history", tf.maximum(history[:, : self.config.history], 0)) * played[..., None]
        return plays, self.fields(tf.concat([context, profile], 1))

    def combined(self, evidence, track, slots, seen, kept=lambda hidden, layer: hidden) -> tf.Tensor:
        """The logits from what is known: evidence float32 [B, C, F * (bins + 1)], the candidates' embeddings track
        float32 [B, C, D], slots and how far each candidate sees them, as of ``slots`` and ``logits``."""
        heard, moment = self.by_plays(track, slots[0], seen[0]), self.by_moment(track, slots[1], seen[1])
        crossed = tf.concat([track * moment, track * heard], -1)
        hidden = tf.concat([evidence, crossed, track, moment, heard], -1)
        for n, (weights, bias) in enumerate(self.layers):
            hidden = kept(tf.nn.relu(tf.tensordot(hidden, weights, 1) + bias), n)
        return tf.tensordot(hidden, self.out, 1) + tf.tensordot(crossed, self.crosses, 1)
