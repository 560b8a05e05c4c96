"""The first stage: every source lists the tracks it knows of, and the best of all of them become the candidates.

A source sums the neighbours of the latest plays; further ones know the listener's own habits (tracks played before,
what followed the current track, artists). Lists are joined by reciprocal rank (Cormack, Clarke & Büttcher 2009), which
needs no common scale. Nothing here looks at the whole catalogue, only at the :class:`Pool` of tracks that some list
names, so that a request costs the same whatever is in the catalogue besides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.recommend.memory import scattered
from models.recommend.served import without
from models.recommend.two_stage.config import Source, TwoStageConfig
from models.recommend.two_stage.pool import Pool
from models.recommend.two_stage.tables import Neighbours, Tables


class NeighbourTable(tf.Module):
    """A table of neighbours in TensorFlow: variables, since a graph definition must stay under 2 GB."""

    def __init__(self, table: Neighbours, name: str):
        super().__init__(name=name)
        self.ids = tf.Variable(table.ids, trainable=False, name=f"{name}_ids")
        self.weights = tf.Variable(table.weights, trainable=False, name=f"{name}_weights")

    def __call__(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Neighbours int32 [..., M] of rows int32 [...], -1 for none, and their weights float32 [..., M]."""
        return tf.gather(self.ids, rows), tf.gather(self.weights, rows)


class Lists(NamedTuple):
    """What all sources name.

    tracks: int32 [B, N], -1 for none; values: float32 [B, N], what each adds to the score that its source gives it;
    source: int [N], which one; by_artist: float32 [B, 2, A], of those that score by artist.
    """

    tracks: tf.Tensor
    values: tf.Tensor
    source: np.ndarray
    by_artist: tf.Tensor


FAR = 1 << 30  # beyond every cell of a batch
OF_LATEST = ("pair", "matched", "matched_soon")
"""Sources that ask what followed plays like the latest one."""
OF_ARTISTS = ("artist_own", "artist_near")
OF_OWN = ("own", "own_successor")
ARTISTS_ASKED = 30
"""Latest plays whose artists are asked for their neighbours."""


class Sources(tf.Module):
    """Scores by source. ``history``: int32 [B, L], newest first, -1 where there is no play, nothing between plays."""

    def __init__(self, tables: Tables, config: TwoStageConfig):
        super().__init__(name="sources")
        self.config = config
        self.n_tracks, self.n_artists = len(tables.artist), tables.n_artists
        used = sorted({source.table for source in config.sources})
        self.tables = {name: NeighbourTable(tables.tracks[name], name) for name in used}
        self.pairs, self.artists = NeighbourTable(tables.pairs, "pairs"), NeighbourTable(tables.artists, "artists")
        self.pair_keys = tf.Variable(tables.pair_keys, trainable=False, name="pair_keys")
        self.artist = tf.Variable(tables.artist, trainable=False, name="artist")
        share = np.sqrt(tables.columns[:, 4] * (tables.artist >= 0)).astype(np.float32)
        self.share = tf.Variable(share, trainable=False, name="share")
        best, worth = best_of_artists(tables.artist, share, self.n_artists, config.per_source)
        self.best_of_artist = tf.Variable(best, trainable=False, name="best_of_artist")
        self.worth_of_artist = tf.Variable(worth, trainable=False, name="worth_of_artist")
        self.around = tf.Variable(tables.occurrences.around, trainable=False, name="around")
        ages = np.arange(config.history)
        self._decays = {h: (0.5 ** (ages / h)).astype(np.float32) for h in
                        {source.half_life for source in config.sources} | {3.0, 20.0, 50.0}}  # fmt: skip

    def names(self) -> list[str]:
        """Of the sources, in the order of the scores."""
        return [*(s.name for s in self.config.sources), *OF_LATEST, *OF_ARTISTS, *OF_OWN]

    @property
    def retrieving(self) -> list[int]:
        """Places of those whose best tracks become candidates."""
        silent = {s.name for s in self.config.sources if not s.retrieves}
        return [at for at, name in enumerate(self.names()) if name not in silent]

    @property
    def reach(self) -> dict[str, int]:
        """Table -> how many of the latest plays any source asks it about."""
        out: dict[str, int] = {}
        for source in self.config.sources:
            out[source.table] = min(max(source.last, out.get(source.table, 0)), self.config.history)
        return out

    def weights(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """source -> float32 [B, L], what each play counts for in it; of those that add up over plays, the artists' too,
        but not of :data:`OF_LATEST`."""
        played, ages = tf.cast(history >= 0, tf.float32), np.arange(self.config.history)
        out = {source.name: played * self._factors(source) for source in self.config.sources}
        known = tf.cast(self.artists_of(history) >= 0, tf.float32) * self._decays[3.0]
        again = tf.cast((history[:, 1:] == history[:, :1]) & (history[:, 1:] >= 0), tf.float32)
        return out | {
            "artist_own": known,
            "artist_near": known * (ages < ARTISTS_ASKED).astype(np.float32),
            "own": played * self._decays[20.0],
            "own_successor": tf.pad(again * self._decays[50.0][:-1], [[0, 0], [0, 1]]),
        }

    def _factors(self, source: Source) -> np.ndarray:
        """float32 [L]: what a play counts for by its place; the first that is asked counts whole."""
        factors = np.zeros(self.config.history, np.float32)
        asked = factors[source.first : source.last]
        asked[:] = self._decays[source.half_life][: len(asked)]
        return factors

    def artists_of(self, history: tf.Tensor) -> tf.Tensor:
        """int32 [B, L]: of each play, -1 where there is none or it is unknown."""
        return tf.where(history >= 0, tf.gather(self.artist, tf.maximum(history, 0)), -1)

    def lists(self, history: tf.Tensor) -> Lists:
        """What each source has to say after the plays."""
        rows, weights = tf.maximum(history, 0), self.weights(history)
        own = {name: (history, weights[name]) for name in OF_OWN}
        latest = {"pair": self._after_pair(history, rows), **self._matched(history, rows)}
        named = {**self._neighbours(rows, weights), **latest, **own}
        parts = [named[name] for name in self.names() if name in named]
        flat = [[tf.reshape(x, [-1, int(np.prod(x.shape[1:]))]) for x in part] for part in parts]
        tracks, values = (tf.concat(column, 1) for column in zip(*flat, strict=True))
        source = np.repeat(np.arange(len(parts)), [part[0].shape[1] for part in flat])
        return Lists(tracks, values, source, self._by_artist(history, weights))

    def pool(self, lists: Lists, *more: tf.Tensor) -> Pool:
        """Of the tracks that some source or ``more`` (int32 [B, ...], -1 for none) names."""
        return Pool.of(self.n_tracks, lists.tracks, self._best_by_artist(lists.by_artist), *more)

    def scores(self, lists: Lists, pool: Pool) -> tf.Tensor:
        """float32 [B, S, W]: of the pool's tracks by :meth:`names`, 0 where a source knows nothing."""
        first = len(self.config.sources) + len(OF_LATEST)
        n, width = first + len(OF_OWN), tf.size(pool.tracks)
        place = pool.of_tracks(lists.tracks)
        row = tf.range(tf.shape(place)[0])[:, None] * n + lists.source.astype(np.int32)
        cell = place + row * width + FAR * tf.minimum(place, 0)  # below 0, that is, left out, for no track
        summed = tf.math.unsorted_segment_sum(lists.values, cell, tf.shape(place)[0] * n * width)
        summed = tf.reshape(summed, [-1, n, width])
        artist = tf.maximum(tf.gather(self.artist, pool.tracks), 0)
        of_artists = tf.gather(lists.by_artist, artist, axis=2) * tf.gather(self.share, pool.tracks)
        return tf.concat([summed[:, :first], of_artists, summed[:, first:]], 1)

    def _neighbours(self, rows: tf.Tensor, weights: dict[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Of the tables; each is read once, as far back as any source looks."""
        read = {name: self.tables[name](rows[:, :n]) for name, n in self.reach.items()}
        out = {}
        for source in self.config.sources:
            part = slice(source.first, min(source.last, self.config.history))
            ids, of_neighbour = (x[:, part] for x in read[source.table])
            out[source.name] = ids, of_neighbour * weights[source.name][:, part, None]
        return out

    def _after_pair(self, history: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        key = tf.cast(rows[:, 1], tf.int64) * self.n_tracks + tf.cast(rows[:, 0], tf.int64)
        at = tf.minimum(tf.searchsorted(self.pair_keys, key), tf.shape(self.pair_keys)[0] - 1)
        known = (tf.gather(self.pair_keys, at) == key) & (history[:, 1] >= 0)
        ids, weights = self.pairs(at)
        return ids, weights * tf.cast(known, tf.float32)[:, None]

    def _matched(self, history: tf.Tensor, rows: tf.Tensor) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """What came right after (and soon after) other plays of the current track, the more alike what led up to them
        the more it counts: nearest neighbours among moments, in the manner of STAN (Garg et al. 2019)."""
        before, latest = self.config.before, history[:, 1 : 2 + self.config.before]
        around = tf.gather(self.around, rows[:, 0])  # [B, M, W]
        led = around[:, :, :before]
        alike = tf.reduce_any((led[..., None] == latest[:, None, None]) & (led[..., None] >= 0), -1)
        weight = 0.05 + tf.reduce_sum(tf.cast(alike, tf.float32), -1)
        weight = weight * weight * tf.cast(history[:, :1] >= 0, tf.float32)
        followed = around[:, :, before:]
        weight /= tf.reduce_sum(tf.where(followed[..., 0] >= 0, weight, 0.0), 1)[:, None] + 1.0
        soon = tf.repeat(weight[..., None], followed.shape[2], -1)
        return {"matched": (followed[..., 0], weight), "matched_soon": (followed, soon)}

    def _by_artist(self, history: tf.Tensor, weights: dict[str, tf.Tensor]) -> tf.Tensor:
        """The listener's artists, and their neighbours; their tracks score by the root of the track's share."""
        artist, asked = self.artists_of(history), slice(None, ARTISTS_ASKED)
        ids, of_neighbour = self.artists(tf.maximum(artist[:, asked], 0))
        near = scattered(ids, of_neighbour * weights["artist_near"][:, asked, None], self.n_artists)
        return tf.stack([scattered(artist, weights["artist_own"], self.n_artists), near], 1)

    def _best_by_artist(self, by_artist: tf.Tensor) -> tf.Tensor:
        """int32 [B, N]: tracks among which are the best of the artists' sources. A track is among the best n only if
        its artist is among the n with the best first track, and it among its artist's first n."""
        best, artists = tf.math.top_k(by_artist * self.worth_of_artist, min(self.config.per_source, self.n_artists))
        tracks = tf.where(best[..., None] > 0, tf.gather(self.best_of_artist, artists), -1)
        return tf.reshape(tracks, [-1, int(np.prod(tracks.shape[1:]))])

    def joined(self, scores: tf.Tensor, allowed: tf.Tensor) -> tf.Tensor:
        """float32 [B, W]: the sources' lists as one, 0 for what none lists; scores as of :meth:`scores`; allowed:
        float32 [B, W], 0 for what may not come."""
        return self.reciprocal_rank(tf.gather(scores, self.retrieving, axis=1) * allowed[:, None])

    def reciprocal_rank(self, scores: tf.Tensor) -> tf.Tensor:
        """float32 [B, W]: the sum over lists of scores float32 [B, S, W] of 1 / (offset + rank), for the best tracks of
        each list with a score above 0."""
        width = tf.shape(scores)[2]
        best, places = tf.math.top_k(scores, tf.minimum(self.config.per_source, width))
        value = tf.where(best > 0, self._ranks(tf.shape(best)[2]), 0.0)
        return scattered(places, value, width)

    def _ranks(self, n: tf.Tensor) -> tf.Tensor:
        """float32 [n]: what the places of a list are worth."""
        return 1.0 / (self.config.rank_offset + tf.range(tf.cast(n, tf.float32)))

    def best_of_catalogue(self, scores: tf.Tensor, exclude: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best tracks int32 [B, n] by scores float32 [B, I] above 0, -1 where there are no more, and what their
        places are worth, float32 [n]; without those of ``exclude`` (int32 [B, M], -1 for none)."""
        n = min(self.config.per_source, self.n_tracks)
        best, tracks = tf.math.top_k(without(scores, exclude), n)
        return tf.where(best > 0, tracks, -1), self._ranks(tf.constant(n))

    def candidates(self, joined: tf.Tensor, pool: Pool, more: int | tf.Tensor = 0) -> tf.Tensor:
        """int32 [B, C]: places in the pool of the tracks to rank, ``more`` than the settings say, -1 where there are no
        more."""
        wanted = tf.minimum(self.config.candidates + more, self.n_tracks)  # whatever the pool of this batch is
        best, places = tf.math.top_k(joined, tf.minimum(wanted, tf.size(pool.tracks)))
        missing = [[0, 0], [0, wanted - tf.shape(best)[1]]]
        return tf.pad(tf.where(best > 0, places, -1), missing, constant_values=-1)


def best_of_artists(artist: np.ndarray, share: np.ndarray, n_artists: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(int32 [A, M], the at most ``n`` tracks of each artist with the largest share, of equal ones the first, -1 for
    none; float32 [A], the largest)."""
    order = np.lexsort((-share, artist))
    order = order[artist[order] >= 0]
    counts = np.bincount(artist[order], minlength=n_artists)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    best = np.full((n_artists, max(1, min(n, counts.max(initial=0)))), -1, np.int32)
    kept = place < best.shape[1]
    best[artist[order[kept]], place[kept]] = order[kept]
    return best, np.where(best[:, 0] >= 0, share[best[:, 0]], 0).astype(np.float32)
