"""The tracks that a batch of requests is about."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from models.recommend.memory import scattered


class Pool(NamedTuple):
    """tracks: int32 [W], ascending, that is, in the catalogue's order of ties; place: int32 [1 + I], where each track
    is among them, -1 where it is not; the first one stands for no track."""

    tracks: tf.Tensor
    place: tf.Tensor

    @classmethod
    def of(cls, n_tracks: int, *named: tf.Tensor) -> Pool:
        """Of all tracks that are named, int32 of any shape, -1 for none. There is always one at least."""
        flat = tf.concat([tf.reshape(tracks, [-1]) for tracks in named], 0)
        times = tf.math.unsorted_segment_sum(tf.ones_like(flat), flat, n_tracks)  # (it leaves -1 out)
        tracks = tf.cast(tf.where(times > 0)[:, 0], tf.int32)
        tracks = tf.cond(tf.size(tracks) > 0, lambda: tracks, lambda: tf.zeros([1], tf.int32))
        nowhere = tf.fill([1 + n_tracks], -1)
        return cls(tracks, tf.tensor_scatter_nd_update(nowhere, 1 + tracks[:, None], tf.range(tf.size(tracks))))

    def of_tracks(self, tracks: tf.Tensor) -> tf.Tensor:
        """int32, shaped as ``tracks``: their places, -1 where they have none."""
        return tf.gather(self.place, 1 + tracks)

    def tracks_at(self, places: tf.Tensor) -> tf.Tensor:
        """int32, shaped as ``places``: the tracks there, -1 at -1."""
        return tf.where(places >= 0, tf.gather(self.tracks, tf.maximum(places, 0)), -1)

    def allowed(self, exclude: tf.Tensor) -> tf.Tensor:
        """float32 [B, W]: 0 for the tracks of ``exclude`` (int32 [B, M], -1 for none), 1 for all others."""
        excluded = scattered(self.of_tracks(exclude), tf.ones_like(exclude, tf.float32), tf.size(self.tracks))
        return tf.cast(excluded == 0, tf.float32)
