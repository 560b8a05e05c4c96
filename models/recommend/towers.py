"""The networks of the two-tower recommender.

A track is the sum of what is known of it (its own embedding, artist, album, genre, acoustic content); a listener is a
weighted sum of the tracks played, the weights set by recency and by attention from the latest play. There is no user
embedding: a listener who arrives after training is served like any other, and nothing personal is in the weights.

Given the attention weights the score is linear in the plays, so that its share due to each play is exact
(:meth:`Scorer.contributions`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models.context import FIELDS
from models.data import UNKNOWN, Catalogue
from models.recommend.acoustic import acoustic_inputs
from models.recommend.config import TwoTowerConfig
from models.recommend.memory import TransitionMemory
from models.recommend.served import of_candidates, without

MASKED = -1e9
ROLES = ("history", "candidate")


class ItemTower(tf.Module):
    """Embeds every track of the catalogue, once as a play of a history and once as a candidate.

    The roles have tables of their own, equal at the start: that B follows A does not mean that A follows B. A model
    with one role ties them. Of ``config`` it takes ``dim``, ``init_scale`` and ``seed``.
    A missing artist, album, genre or acoustic value contributes nothing. A track without a play in training has no
    embedding of its own, only those of its artist and content: an untrained vector would be noise.
    """

    def __init__(self, catalogue: Catalogue, plays: np.ndarray, config, roles: Sequence[str] = ROLES):
        super().__init__(name="item_tower")
        self._roles = tuple(roles)
        generator = np.random.default_rng(config.seed)
        self._codes, self._tables, self._names = [], [], []
        attributes = {
            "track": (np.where(plays > 0, np.arange(len(catalogue)), UNKNOWN), len(catalogue)),
            "artist": (catalogue.artist, catalogue.n_artists),
            "album": (catalogue.album, catalogue.n_albums),
            "genre": (catalogue.genre, catalogue.n_genres),
        }
        for name, (codes, size) in attributes.items():
            if (codes >= 0).any():
                start = generator.normal(0.0, config.init_scale, (size, config.dim)).astype(np.float32)
                self._codes.append(
                    (tf.constant(np.maximum(codes, 0), tf.int32), tf.constant((codes >= 0)[:, None], tf.float32))
                )
                self._tables.append([tf.Variable(start, name=f"{name}_{role}") for role in roles])
                self._names.append(name)
        self._own = bool((attributes["track"][0] >= 0).any())
        self._acoustic = None
        content = acoustic_inputs(catalogue.acoustic)
        if content.shape[1]:
            start = generator.normal(0.0, config.init_scale, (content.shape[1], config.dim)).astype(np.float32)
            self._acoustic = tf.constant(content)
            self._projections = [tf.Variable(start, name=f"acoustic_{role}") for role in roles]
        popularity = np.log1p(plays).astype(np.float32)
        self.bias = tf.Variable(0.5 * popularity - 1.0, name="bias")

    def matrix(self, role: str) -> tf.Tensor:
        """float32 [I, D]: every track in one role."""
        index = self._roles.index(role)
        parts = [
            tf.gather(t[index], codes) * known for t, (codes, known) in zip(self._tables, self._codes, strict=True)
        ]
        if self._acoustic is not None:
            parts.append(self._acoustic @ self._projections[index])
        return tf.add_n(parts)

    def rows(self, role: str, tracks: tf.Tensor, own: tf.Tensor | None = None) -> tf.Tensor:
        """float32 [..., D]: some tracks in one role, without forming the whole matrix.

        own: float32 [..., 1], the share of each track's own embedding that is taken (all of it by default)."""
        index = self._roles.index(role)
        parts = [
            tf.gather(t[index], tf.gather(codes, tracks)) * tf.gather(known, tracks)
            for t, (codes, known) in zip(self._tables, self._codes, strict=True)
        ]
        if own is not None and self._own:
            parts[0] *= own
        if self._acoustic is not None:
            parts.append(tf.tensordot(tf.gather(self._acoustic, tracks), self._projections[index], 1))
        return tf.add_n(parts)

    def parts(self, role: str, tracks: tf.Tensor) -> dict[str, tf.Tensor]:
        """ "track", "artist", "album", "genre", "sound" -> float32 [..., D], as far as there are any; the sum is
        :meth:`rows`."""
        index = self._roles.index(role)
        out = {
            name: tf.gather(t[index], tf.gather(codes, tracks)) * tf.gather(known, tracks)
            for name, t, (codes, known) in zip(self._names, self._tables, self._codes, strict=True)
        }
        if self._acoustic is not None:
            out["sound"] = tf.tensordot(tf.gather(self._acoustic, tracks), self._projections[index], 1)
        return out


class UserTower(tf.Module):
    """Turns a history and its context into a query vector.

    Each head has its own learned weight by age (at the start an exponential decay, from "the latest play alone" to "the
    last hundred alike"), attends from the latest play, and maps what it pooled by a matrix of its own.
    """

    def __init__(self, n_devices: int, config: TwoTowerConfig):
        super().__init__(name="user_tower")
        heads, dim = len(config.half_lives), config.dim
        decay = -np.log(2) / np.asarray(config.half_lives)[:, None] * np.arange(config.history)
        self.by_age = tf.Variable(decay.astype(np.float32), name="by_age")
        self.key = tf.Variable(tf.zeros([heads, dim]), name="key")
        self.attention = tf.Variable(tf.zeros([heads, dim, dim]), name="attention")
        self.heads = tf.Variable(tf.stack([tf.eye(dim)] * heads) / heads, name="heads")
        self.prior = tf.Variable(tf.zeros([dim]), name="prior")
        self.hours = tf.Variable(tf.zeros([24, dim]), name="hours")
        self.devices = tf.Variable(tf.zeros([max(1, n_devices), dim]), name="devices")
        self.longest = config.history

    def weights(self, plays: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        """Attention float32 [B, H, L] over plays [B, L, D]; ages int32 [B, L]: 0 the latest, -1 no play."""
        used = (ages >= 0) & (ages < self.longest)
        # A sum and no argmin: it is defined for histories of length 0 too.
        youngest = tf.reduce_min(tf.where(used, ages, self.longest), 1, keepdims=True)
        latest = tf.reduce_sum(plays * tf.cast((ages == youngest) & used, tf.float32)[:, :, None], 1)
        asked = self.key[None] + tf.einsum("bd,hde->bhe", latest, self.attention)
        by_age = tf.transpose(tf.gather(self.by_age, tf.clip_by_value(ages, 0, self.longest - 1), axis=1), [1, 0, 2])
        logits = tf.where(used[:, None, :], tf.einsum("bhd,bld->bhl", asked, plays) + by_age, MASKED)
        return tf.nn.softmax(logits, -1) * tf.cast(used[:, None, :], tf.float32)

    def pooled(self, plays: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        """What the history adds to the query, float32 [B, D]."""
        return tf.einsum("bhl,bld,hde->be", self.weights(plays, ages), plays, self.heads, optimize="optimal")

    def shares(self, plays: tf.Tensor, ages: tf.Tensor) -> tf.Tensor:
        """What each play adds to the query, float32 [B, L, D]; they sum to :meth:`pooled`."""
        return tf.einsum("bhl,bld,hde->ble", self.weights(plays, ages), plays, self.heads, optimize="optimal")

    def context(self, hours: tf.Tensor, devices: tf.Tensor) -> tf.Tensor:
        """What everything but the history adds, float32 [B, D]; hours and devices int32 [B], -1 unknown."""
        out = self.prior[None] + tf.zeros([tf.shape(hours)[0], 1])
        for table, codes in ((self.hours, hours), (self.devices, devices)):
            known = (codes >= 0) & (codes < tf.shape(table)[0])
            out += tf.gather(table, tf.where(known, codes, 0)) * tf.cast(known, tf.float32)[:, None]
        return out


class Scorer(tf.Module):
    """A trained model ready to answer: the item tower's outputs frozen, the user tower as it is.

    The score of a track is query . candidate + bias, plus what the memory adds, if there is one. Histories are int32
    [B, L] track indices, oldest first, -1 where there is no play (padding may be anywhere). moment: int32 [B, M], codes
    by ``models.context.wire.KEYS``, of which it looks at hour and device.
    """

    def __init__(
        self,
        history: np.ndarray,
        candidates: np.ndarray,
        bias: np.ndarray,
        user_tower: UserTower,
        memory: TransitionMemory | None,
    ):
        super().__init__(name="scorer")
        self.history_items = tf.Variable(np.asarray(history, np.float32), trainable=False, name="history_items")
        self.candidate_items = tf.Variable(np.asarray(candidates, np.float32), trainable=False, name="candidate_items")
        self.bias = tf.Variable(np.asarray(bias, np.float32), trainable=False, name="item_bias")
        self.user_tower = user_tower
        self.memory = memory

    def update(self, history: np.ndarray, candidates: np.ndarray, bias: np.ndarray) -> None:
        """Take the item tower's outputs anew."""
        self.history_items.assign(history)
        self.candidate_items.assign(candidates)
        self.bias.assign(bias)

    def reordered(self, order: Sequence[int]) -> Scorer:
        """The same model over the catalogue in another order."""
        parts = (part.numpy()[order] for part in (self.history_items, self.candidate_items, self.bias))
        return Scorer(
            *parts, self.user_tower, None if self.memory is None else self.memory.reordered(np.asarray(order))
        )

    def logits(self, history: tf.Tensor, moment: tf.Tensor) -> tf.Tensor:
        """Scores of the whole catalogue, float32 [B, I]."""
        history = self._latest(history)
        plays, ages = self._plays(history)
        query = self.user_tower.pooled(plays, ages) + self.user_tower.context(*_hour_and_device(moment))
        scores = tf.matmul(query, self.candidate_items, transpose_b=True) + self.bias
        return scores if self.memory is None else scores + self.memory.logits(history, ages)

    def ranked(self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor) -> tf.Tensor:
        """Scores float32 [B, I]; ``MASKED`` for the tracks of ``exclude`` (int32 [B, M], -1 for none)."""
        return without(self.logits(history, moment), exclude)

    def candidate_scores(
        self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> tf.Tensor:
        """float32 [B, C] for candidates int32 [B, C]; ``MASKED`` for -1 (unknown)."""
        return of_candidates(self.logits(history, moment), candidates)

    def contributions(
        self, history: tf.Tensor, moment: tf.Tensor, exclude: tf.Tensor, candidates: tf.Tensor
    ) -> tf.Tensor:
        """float32 [B, C, L + 1]: the share of each play in each candidate's score; last, all else.

        Exact, no approximation: with the attention weights taken as given, the score is a sum over plays.
        """
        plays, ages = self._plays(history)
        known = candidates >= 0
        rows = tf.where(known, candidates, 0)
        items = tf.gather(self.candidate_items, rows)
        by_play = tf.einsum("ble,bce->bcl", self.user_tower.shares(plays, ages), items)
        if self.memory is not None:
            by_play += self.memory.shares(history, ages, candidates)
        rest = tf.einsum("be,bce->bc", self.user_tower.context(*_hour_and_device(moment)), items) + tf.gather(
            self.bias, rows
        )
        by_play = tf.where(known[:, :, None], by_play, 0.0)
        return tf.concat([by_play, tf.where(known, rest, MASKED)[:, :, None]], -1)

    def _latest(self, history: tf.Tensor) -> tf.Tensor:
        """The latest plays, all the user tower looks at: ten thousand plays cost no more than fifty."""
        position = tf.range(tf.shape(history)[1])[None, :]
        order = tf.argsort(tf.where(history >= 0, position, -1), axis=1, stable=True)
        keep = tf.minimum(tf.shape(history)[1], self.user_tower.longest)
        return tf.gather(history, order[:, tf.shape(history)[1] - keep :], batch_dims=1)

    def _plays(self, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        known = history >= 0
        ages = tf.where(known, tf.cumsum(tf.cast(known, tf.int32), axis=1, exclusive=True, reverse=True), -1)
        plays = tf.gather(self.history_items, tf.maximum(history, 0)) * tf.cast(known, tf.float32)[:, :, None]
        return plays, ages


def _hour_and_device(moment: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return moment[:, FIELDS.index("hour")], moment[:, FIELDS.index("device")]
