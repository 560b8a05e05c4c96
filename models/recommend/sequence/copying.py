"""The copy heads: what comes next is often what this listener played before (RepeatNet, Ren et al. 2019).

Each head attends from the position t to the plays s up to it and copies the play it attends to. It is scored by content
(the track, and the state the listener was in just before it), by age, and by relations that make it an induction: what
followed earlier plays of the current track, artist or album.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.recommend.sequence.layers import AGE_BUCKETS, Dense, age_buckets, like, steps

RELATIONS = (
    "same track",  # s is the track of t
    "same artist",
    "same album",
    "follows track",  # the play before s is the track of t
    "follows its latest play",  # and of all such plays the last
    "follows pair",  # the two plays before s are the tracks of t - 1 and t
    "follows triple",
    "follows artist",
    "follows album",
    "near track",  # s comes two or three plays after the track of t
    "played since",  # the track of s was played again between s and t
    "played before",  # … and before s
)
STARTS = {  # heads are told apart at the start: one follows, one goes back to what is recent, one stays with the artist
    "follows": {"follows track": 5.0, "follows its latest play": 1.0, "follows pair": 2.0},
    "returns": {"played before": 0.5, "same track": -1.0},
    "stays": {"same artist": 2.0, "same album": 2.0, "follows artist": 1.0, "same track": -2.0},
}
SLOPES = (-0.02, -0.1, -0.05)


class CopyHeads(tf.Module):
    """H attentions over the history, each with a distribution over its plays."""

    def __init__(self, heads: int, dim: int, generator: np.random.Generator):
        super().__init__(name="copy")
        width = max(8, dim // 2)
        self.query = Dense(generator, dim, heads * width, "copy_query", scale=0.3)
        self.key = Dense(generator, 2 * dim, heads * width, "copy_key", scale=0.3)
        starts = list(STARTS.values())
        related = [[starts[h % len(starts)].get(name, 0.0) for name in RELATIONS] for h in range(heads)]
        self.related = tf.Variable(np.transpose(np.asarray(related, np.float32)), name="copy_relations")
        slopes = [SLOPES[h % len(SLOPES)] for h in range(heads)]
        by_age = np.arange(AGE_BUCKETS)[:, None] * np.asarray(slopes)[None, :]
        self.by_age = tf.Variable(by_age.astype(np.float32), name="copy_by_age")
        self.heads = heads

    def __call__(self, states: tf.Tensor, items: tf.Tensor, grid: Grid, last: bool) -> tf.Tensor:
        """Shares float32 [B, H, Q, T]; states, items: [B, T, D]; Q is T, or 1 (the last position) if ``last``."""
        shape = tf.shape(states)
        before = tf.pad((states * grid.known)[:, :-1], [[0, 0], [1, 0], [0, 0]])
        key = tf.reshape(self.key(tf.concat([items, before], -1)), [shape[0], shape[1], self.heads, -1])
        asked = states[:, -1:] if last else states
        query = tf.reshape(self.query(asked), [shape[0], tf.shape(asked)[1], self.heads, -1])
        content = tf.einsum("bqhd,bshd->bhqs", query, key)
        by_age = tf.transpose(tf.gather(self.by_age, grid.buckets), [2, 0, 1])[None]
        related = tf.reshape(grid.relations, [-1, len(RELATIONS)]) @ self.related
        related = tf.reshape(related, like(grid.relations, self.heads))
        logits = content + by_age + tf.transpose(related, [0, 3, 1, 2])
        share = tf.nn.softmax(tf.where(grid.allowed[:, None], logits, -1e9))
        return share * tf.cast(grid.allowed, tf.float32)[:, None]


class Grid:
    """How the plays s relate to the positions t, from codes of tracks, artists and albums, int32 [B, T], -1 unknown.

    known: float32 [B, T, 1], is a play; allowed: bool [B, Q, T], s is a play up to t; relations: float32 [B, Q, T, R];
    buckets: int32 [Q, T], of the age; features: float32 [B, Q, G], what the gate is told of repetition at t.
    """

    def __init__(self, tracks: tf.Tensor, artists: tf.Tensor, albums: tf.Tensor, last: bool):
        length = tf.shape(tracks)[1]
        place = tf.range(length)
        self.known = tf.cast(tracks >= 0, tf.float32)[:, :, None]
        age = place[:, None] - place[None, :]
        alike = _equal(tracks, tracks)
        earlier = alike & (age > 0)[None]
        self._latest = tf.reduce_max(tf.where(earlier, place[None, None, :], -1), 2)
        again = tf.reduce_min(tf.where(tf.transpose(earlier, [0, 2, 1]), place[None, None, :], length), 2)
        self.features = self._repetition(tracks, artists, alike)
        rows = slice(-1, None) if last else slice(None)
        age, latest = age[rows], self._latest[:, rows]
        self.features = self.features[:, rows]
        self.buckets = age_buckets(age)
        self.allowed = (age >= 0)[None] & (tracks >= 0)[:, None, :]
        follows = _equal(tracks[:, rows], _back(tracks, 1))
        pair = follows & _equal(_back(tracks, 1)[:, rows], _back(tracks, 2))
        triple = pair & _equal(_back(tracks, 2)[:, rows], _back(tracks, 3))
        now = tracks[:, rows]
        flags = [
            alike[:, rows],
            _equal(artists[:, rows], artists),
            _equal(albums[:, rows], albums),
            follows,
            follows & (place[None, None, :] - 1 == latest[:, :, None]),
            pair,
            triple,
            _equal(artists[:, rows], _back(artists, 1)),
            _equal(albums[:, rows], _back(albums, 1)),
            _equal(now, _back(tracks, 2)) | _equal(now, _back(tracks, 3)),
            again[:, None, :] <= place[rows][None, :, None],
            tf.broadcast_to((self._latest >= 0)[:, None, :], tf.shape(follows)),
        ]
        self.relations = tf.cast(tf.stack(flags, -1), tf.float32)

    def _repetition(self, tracks: tf.Tensor, artists: tf.Tensor, alike: tf.Tensor) -> tf.Tensor:
        known = tf.cast(tracks >= 0, tf.float32)
        repeat = tf.cast(self._latest >= 0, tf.float32)
        count = tf.cumsum(known, 1)
        times = tf.reduce_sum(tf.linalg.band_part(tf.cast(alike, tf.float32), -1, 0), 2)
        before = tf.gather(_back(tracks, 1), tf.maximum(self._latest, 0), batch_dims=1)
        in_run = repeat * tf.cast((before == _back(tracks, 1)) & (before >= 0), tf.float32)
        stays = tf.cast((artists == _back(artists, 1)) & (artists >= 0), tf.float32)
        lately = [_moving_mean(x, 8) for x in (repeat, in_run, stays)]
        share = tf.cumsum(repeat, 1) / tf.maximum(count, 1.0)
        return tf.stack(
            [known, repeat, in_run, stays, *lately, share, tf.math.log1p(times), 0.2 * tf.math.log1p(count)], -1
        )


GATE_FEATURES = 10


def _equal(at: tf.Tensor, of: tf.Tensor) -> tf.Tensor:
    """bool [B, Q, T]: codes alike and known."""
    return (at[:, :, None] == of[:, None, :]) & (of >= 0)[:, None, :]


def _back(codes: tf.Tensor, by: int) -> tf.Tensor:
    """The codes ``by`` positions earlier, -1 where there are none."""
    by, length = steps(by, codes)
    return tf.pad(codes[:, : length - by], [[0, 0], [by, 0]], constant_values=-1)


def _moving_mean(x: tf.Tensor, width: int) -> tf.Tensor:
    total = tf.cumsum(x, 1)
    width, length = steps(width, x)
    return (total - tf.pad(total[:, : length - width], [[0, 0], [width, 0]])) / 8.0
