"""The first stage: every source scores the whole catalogue, and the best of all of them become the candidates.

A source sums the neighbours of the latest plays; further ones know the listener's own habits (tracks played before,
what followed the current track, artists). Lists are joined by reciprocal rank (Cormack, Clarke & Büttcher 2009), which
needs no common scale.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.recommend.memory import scattered
from models.recommend.two_stage.config import TwoStageConfig
from models.recommend.two_stage.tables import Neighbours, Tables


class NeighbourSum(tf.Module):
    """A table of neighbours in TensorFlow: variables, since a graph definition must stay under 2 GB."""

    def __init__(self, table: Neighbours, name: str):
        super().__init__(name=name)
        self.ids = tf.Variable(table.ids, trainable=False, name=f"{name}_ids")
        self.weights = tf.Variable(table.weights, trainable=False, name=f"{name}_weights")

    def __call__(self, rows: tf.Tensor, factors: tf.Tensor, width: int) -> tf.Tensor:
        """float32 [B, width]: neighbours of ``rows`` int32 [B, L], each row times its factor float32 [B, L]."""
        values = tf.gather(self.weights, rows) * factors[:, :, None]
        return scattered(tf.gather(self.ids, rows), values, width)


class Sources(tf.Module):
    """Scores by source. ``history``: int32 [B, L], newest first, -1 where there is no play, nothing between plays."""

    def __init__(self, tables: Tables, config: TwoStageConfig):
        super().__init__(name="sources")
        self.config = config
        self.n_tracks, self.n_artists = len(tables.artist), tables.n_artists
        used = sorted({source.table for source in config.sources})
        self.tables = {name: NeighbourSum(tables.tracks[name], name) for name in used}
        self.pairs, self.artists = NeighbourSum(tables.pairs, "pairs"), NeighbourSum(tables.artists, "artists")
        self.pair_keys = tf.Variable(tables.pair_keys, trainable=False, name="pair_keys")
        self.artist = tf.Variable(tables.artist, trainable=False, name="artist")
        share = tables.columns[:, 4] * (tables.artist >= 0)
        self.share = tf.Variable(np.sqrt(share).astype(np.float32), trainable=False, name="share")
        self.around = tf.Variable(tables.occurrences.around, trainable=False, name="around")
        ages = np.arange(config.history)
        self._decays = {h: (0.5 ** (ages / h)).astype(np.float32) for h in
                        {source.half_life for source in config.sources} | {3.0, 20.0, 50.0}}  # fmt: skip

    def names(self) -> list[str]:
        """Of the counted sources, in the order of the scores."""
        own = ["pair", "matched", "matched_soon", "artist_own", "artist_near", "own", "own_successor"]
        return [s.name for s in self.config.sources] + own

    @property
    def retrieving(self) -> list[str]:
        """Those whose best tracks become candidates."""
        silent = {s.name for s in self.config.sources if not s.retrieves}
        return [name for name in self.names() if name not in silent]

    def decay(self, half_life: float) -> tf.Tensor:
        return tf.constant(self._decays[half_life])

    def scores(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """name -> float32 [B, I], 0 where a source knows nothing."""
        rows, played = tf.maximum(history, 0), tf.cast(history >= 0, tf.float32)
        out = {}
        for source in self.config.sources:
            part = slice(source.first, min(source.last, self.config.history))
            n = part.stop - part.start
            factors = self.decay(source.half_life)[:n] * played[:, part]
            out[source.name] = self.tables[source.table](rows[:, part], factors, self.n_tracks)
        out["pair"] = self._after_pair(history, rows)
        out["matched"], out["matched_soon"] = self._matched(history, rows)
        out |= self._of_artists(history, rows, played)
        out["own"] = scattered(history, self.decay(20.0) * played, self.n_tracks)
        again = tf.cast((history[:, 1:] == history[:, :1]) & (history[:, 1:] >= 0), tf.float32)
        out["own_successor"] = scattered(history[:, :-1], again * self.decay(50.0)[:-1], self.n_tracks)
        return out

    def _after_pair(self, history: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        key = tf.cast(rows[:, 1], tf.int64) * self.n_tracks + tf.cast(rows[:, 0], tf.int64)
        at = tf.minimum(tf.searchsorted(self.pair_keys, key), tf.shape(self.pair_keys)[0] - 1)
        known = (tf.gather(self.pair_keys, at) == key) & (history[:, 1] >= 0)
        return self.pairs(at[:, None], tf.cast(known, tf.float32)[:, None], self.n_tracks)

    def _matched(self, history: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What came right after (and soon after) other plays of the current track, the more alike what led up to them
        the more it counts: nearest neighbours among moments, in the manner of STAN (Garg et al. 2019)."""
        before, latest = self.config.before, history[:, 1 : 2 + self.config.before]
        around = tf.gather(self.around, rows[:, 0])  # [B, M, W]
        led = around[:, :, :before]
        alike = tf.reduce_any((led[..., None] == latest[:, None, None]) & (led[..., None] >= 0), -1)
        weight = 0.05 + tf.reduce_sum(tf.cast(alike, tf.float32), -1)
        weight = weight * weight * tf.cast(history[:, :1] >= 0, tf.float32)
        followed = around[:, :, before:]
        total = tf.reduce_sum(tf.where(followed[..., 0] >= 0, weight, 0.0), 1)[:, None] + 1.0
        soon = tf.broadcast_to(weight[..., None], tf.shape(followed))
        return (
            scattered(followed[..., 0], weight, self.n_tracks) / total,
            scattered(followed, soon, self.n_tracks) / total,
        )

    def _of_artists(self, history: tf.Tensor, rows: tf.Tensor, played: tf.Tensor) -> dict[str, tf.Tensor]:
        """The listener's artists and their neighbours, spread over their tracks by the root of the track's share."""
        artist = tf.where(history >= 0, tf.gather(self.artist, rows), -1)
        factors = self.decay(3.0) * played * tf.cast(artist >= 0, tf.float32)
        own = scattered(artist, factors, self.n_artists)
        near = self.artists(tf.maximum(artist[:, :30], 0), factors[:, :30], self.n_artists)
        of_track = tf.maximum(self.artist, 0)
        return {
            "artist_own": tf.gather(own, of_track, axis=1) * self.share,
            "artist_near": tf.gather(near, of_track, axis=1) * self.share,
        }

    def joined(self, scores: dict[str, tf.Tensor], exclude: tf.Tensor) -> tf.Tensor:
        """float32 [B, I]: the sources' lists as one; 0 for what none lists and ``exclude`` (int32 [B, M], -1 none)."""
        allowed = self.allowed(exclude)
        return self.reciprocal_rank(*(scores[name] * allowed for name in self.retrieving))

    def allowed(self, exclude: tf.Tensor) -> tf.Tensor:
        """float32 [B, I]: 0 for the tracks of ``exclude``, 1 for all others."""
        excluded = scattered(exclude, tf.ones_like(exclude, tf.float32), self.n_tracks)
        return tf.cast(excluded == 0, tf.float32)

    def reciprocal_rank(self, *scores: tf.Tensor) -> tf.Tensor:
        """float32 [B, I]: the sum over lists of scores float32 [B, I] of 1 / (offset + rank), for the best tracks of
        each list with a score above 0."""
        n = min(self.config.per_source, self.n_tracks)
        value = 1.0 / (self.config.rank_offset + np.arange(n, dtype=np.float32))
        lists = []
        for of_source in scores:
            best, tracks = tf.math.top_k(of_source, n)
            lists.append(tf.where(best > 0, tracks, -1))
        listed = tf.concat(lists, 1)
        return scattered(listed, tf.broadcast_to(np.tile(value, len(lists)), tf.shape(listed)), self.n_tracks)

    def candidates(self, joined: tf.Tensor, more: int | tf.Tensor = 0) -> tf.Tensor:
        """int32 [B, C]: the tracks to rank, ``more`` than the settings say, -1 where there are no more."""
        best, tracks = tf.math.top_k(joined, tf.minimum(self.config.candidates + more, self.n_tracks))
        return tf.where(best > 0, tracks, -1)
