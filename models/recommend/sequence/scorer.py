"""A trained sequential model ready to answer, in TensorFlow alone."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.recommend.memory import scattered
from models.recommend.sequence.copying import Grid
from models.recommend.sequence.followers import FollowerTables
from models.recommend.sequence.layers import looked_up
from models.recommend.sequence.network import TINY, Network
from models.recommend.sequence.ties import Ties, codes_of
from models.recommend.sequence.windows import Plays


class SequenceScorer(tf.Module):
    """Log probabilities of the next play. Call it with histories (newest first), or :meth:`log_probabilities` with all
    that is known. It holds variables only, so another module can hold it and be saved."""

    def __init__(self, network: Network, rows: np.ndarray, bias: np.ndarray, artists, albums, tables=None):
        super().__init__(name="sequence_scorer")
        self.network = network
        self.tables: FollowerTables | None = tables
        self.rows = tf.Variable(np.asarray(rows, np.float32), trainable=False, name="items")
        self.bias = tf.Variable(np.asarray(bias, np.float32), trainable=False, name="item_bias")
        self.artists = tf.Variable(np.asarray(artists, np.int32), trainable=False, name="artists")
        self.albums = tf.Variable(np.asarray(albums, np.int32), trainable=False, name="albums")

    def __call__(self, history: tf.Tensor) -> tf.Tensor:
        """float32 [B, I] of histories int32 [B, L], newest first, -1 where there is no play (at the end of a row)."""
        return self.log_probabilities(self._plays(history))

    def chances(self, history: tf.Tensor) -> tf.Tensor:
        """As when called, the probabilities themselves."""
        return self.probabilities(self._plays(history))

    def vector(self, history: tf.Tensor) -> tf.Tensor:
        """float32 [B, D + 1] of histories as when called: inner products with :meth:`item_vectors` are the logits of
        the softmax over all tracks, before what ties of artist and album add."""
        plays = self._plays(history)
        states = self.network.states(self._items(plays), plays, False, None)
        query = self.network.query(states[:, -1])
        return tf.concat([query, tf.ones_like(query[:, :1])], 1)

    def item_vectors(self) -> np.ndarray:
        """float32 [I, D + 1]: the track's row, and its bias."""
        return np.concatenate([self.rows.numpy(), self.bias.numpy()[:, None]], 1)

    def _items(self, plays: Plays) -> tf.Tensor:
        known = tf.cast(plays.tracks >= 0, tf.float32)
        return looked_up(self.rows, tf.maximum(plays.tracks, 0)) * known[:, :, None]

    def _plays(self, history: tf.Tensor) -> Plays:
        config = self.network.config
        tracks = tf.reverse(history[:, : config.history], [1])
        if not tracks.shape[1]:
            tracks = tf.cond(tf.shape(tracks)[1] > 0, lambda: tracks, lambda: tf.fill([tf.shape(tracks)[0], 1], -1))
        known = tf.cast(tracks >= 0, tf.int32)
        place = tf.cumsum(known, 1)
        sessions = tf.where(tracks >= 0, (place - 1) // config.session_plays, -1)
        unknown = tf.fill(tf.shape(tracks), -1)
        return Plays(tracks, sessions, place // config.session_plays, unknown, unknown)

    def log_probabilities(self, plays: Plays, before=None) -> tf.Tensor:
        """float32 [B, I] of plays whose last column is the latest; ``before`` as in :meth:`Network.states`."""
        return tf.math.log(self.probabilities(plays, before))

    def probabilities(self, plays: Plays, before=None) -> tf.Tensor:
        """float32 [B, I], none of them 0; arguments as of :meth:`log_probabilities`."""
        items = self._items(plays)
        states = self.network.states(items, plays, False, before)
        logits = tf.matmul(self.network.query(states[:, -1]), self.rows, transpose_b=True) + self.bias
        ties = None
        if self.network.worth is not None:
            ties = Ties(plays.tracks, self.artists, self.albums, last=True)
            logits += ties.worth_of_catalogue(self.network.worth(states[:, -1]))
        if self.network.copy is None and self.network.follow is None:
            return tf.nn.softmax(logits) + TINY
        grid = Grid(plays.tracks, *(codes_of(codes, plays.tracks) for codes in (self.artists, self.albums)), last=True)
        recent, followers = plays.tracks, None
        if self.network.follow is not None:
            recent = recent[:, -self.network.config.lags :]
            followers = self.tables.of(recent, tf.zeros_like(recent[:, 0]))
        gates, copies, counted = self.network.mixture(states, items, grid, followers, ties, last=True)
        gates = tf.exp(gates[:, 0])
        return gates[:, :1] * tf.nn.softmax(logits) + (self._listed(plays, gates, copies, counted) + TINY)

    def _listed(self, plays: Plays, gates: tf.Tensor, copies, counted) -> tf.Tensor:
        """What the heads over a few tracks add to the probability of every track, float32 [B, I]."""
        columns, values, k = [], [], 1
        if copies is not None:
            k += self.network.copy.heads
            columns.append(plays.tracks)
            values.append(tf.einsum("bh,bht->bt", gates[:, 1:k], copies[:, :, 0]))
        if counted is not None:
            lists, shares = (tf.transpose(x[:, :, 0], [1, 0, 2, 3]) for x in counted)
            weighted = shares * gates[:, k:, None, None]
            batch = tf.shape(lists)[0]
            columns.append(tf.reshape(lists, [batch, -1]))
            values.append(tf.reshape(weighted, [batch, -1]))
        return scattered(tf.concat(columns, 1), tf.concat(values, 1), tf.shape(self.bias)[0])
