"""What the two-stage recommender counts from the plays before it ranks: who follows whom, and what each track is.

All of it is counts over the plays given, so that tables made from the plays before a moment know nothing after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from models.data import ListeningData
from models.recommend.ease import user_item_matrix
from models.recommend.transitions import strongest
from models.recommend.two_stage.config import TwoStageConfig

WINDOWS = {  # name -> first and last distance, decay, worth of the other order
    "successor": (1, 1),
    "second": (2, 2),
    "third": (3, 3),
    "predecessor": (-1, -1),
    "near": (1, 3, 0.7, 0.3),
    "transitions": (1, 10, 0.8, 0.5),
}
ITEM_COLUMNS = ("log_plays", "log_listeners", "plays_per_listener", "artist_log_listeners", "share_of_artist",
                "artist_log_tracks", "place_in_artist", "continues_artist", "leads_on")  # fmt: skip


@dataclass(frozen=True)
class Neighbours:
    """The strongest neighbours of each row: ids int32 [R, M] (-1: none), weights float32 [R, M]."""

    ids: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, table: sp.csr_matrix, n: int) -> Neighbours:
        return cls(*strongest(table.tocsr().astype(np.float32), n))

    def reordered(self, rows: np.ndarray | None, place: np.ndarray) -> Neighbours:
        """Rows taken in the order ``rows`` (None: as they are), ids renamed by ``place`` (int32 [I])."""
        named = np.append(place, np.int32(-1))[self.ids]
        return Neighbours(named, self.weights) if rows is None else Neighbours(named[rows], self.weights[rows])


@dataclass(frozen=True)
class Occurrences:
    """Where each track was played, and what was played around it.

    around: int32 [I, M, W], the tracks from ``before`` plays before to some plays after each of at most M plays, -1
    where a listener's plays begin or end, or where there is no such play.
    """

    around: np.ndarray
    before: int

    @classmethod
    def of(cls, data: ListeningData, config: TwoStageConfig) -> Occurrences:
        """Of the tracks with more plays, ``occurrences`` drawn by the seed."""
        n, rng = config.occurrences, np.random.default_rng(config.seed)
        shuffled = rng.permutation(data.n_plays)
        order = shuffled[np.argsort(data.items[shuffled], kind="stable")]
        track = data.items[order]
        place = np.arange(len(track)) - np.concatenate([[0], np.cumsum(data.plays)])[track]
        kept = place < n
        steps = np.arange(-config.before, config.after + 1)
        steps = steps[steps != 0]
        play = order[kept][:, None] + steps
        inside = (play >= 0) & (play < data.n_plays)
        play = np.clip(play, 0, data.n_plays - 1)
        inside &= data.user_of_play[play] == data.user_of_play[order[kept]][:, None]
        around = np.full((data.n_tracks, n, len(steps)), -1, np.int32)
        around[track[kept], place[kept]] = np.where(inside, data.items[play], -1)
        return cls(around, config.before)


@dataclass(frozen=True)
class Tables:
    """tracks: name -> neighbours of each track; pairs: what followed two tracks in a row, by ``pair_keys`` (int64,
    ascending: earlier * I + later); artists: neighbours of each artist; columns: float32 [I, len(ITEM_COLUMNS)];
    artist, album: int32 [I], -1 unknown (an unknown artist is counted as artist ``n_artists``)."""

    tracks: dict[str, Neighbours]
    pair_keys: np.ndarray
    pairs: Neighbours
    artists: Neighbours
    occurrences: Occurrences
    columns: np.ndarray
    artist: np.ndarray
    album: np.ndarray

    @property
    def n_artists(self) -> int:
        return len(self.artists.ids)

    @classmethod
    def count(cls, data: ListeningData, config: TwoStageConfig) -> Tables:
        keys, pairs = pair_successors(data, config.pair_neighbours)
        counted = {name: followers(data, *window) for name, window in WINDOWS.items()}
        tracks = {name: Neighbours.of(table, config.neighbours) for name, table in counted.items()}
        tracks["co_listened"] = co_listened(data, config)
        return cls(tracks, keys, pairs, artist_neighbours(data, config), Occurrences.of(data, config),
                   item_columns(data), data.catalogue.artist.astype(np.int32),
                   data.catalogue.album.astype(np.int32))  # fmt: skip


def followers(data: ListeningData, first: int, last: int, decay: float = 1.0, backward: float = 0.0) -> sp.csr_matrix:
    """float32 [I, I]: share of the row track's listeners who played the column's ``first`` to ``last`` plays later.

    A listener counts once for a pair, by the nearest distance, worth ``decay`` ** (distance - first): one who loops an
    album says no more than one who heard it once. Negative distances: earlier. ``backward``: the worth of a pair in
    the other order. Shrunk by three listeners.
    """
    parts = [_pairs(data, users, first, last, decay) for users in _blocks(data)]
    row, column, worth = (np.concatenate(part) for part in zip(*parts, strict=True))
    counts = sp.csr_matrix((worth, (row, column)), shape=(data.n_tracks, data.n_tracks))
    if backward:
        counts = counts + backward * counts.T
    return sp.diags(1.0 / (data.listeners + 3.0)) @ counts


def _blocks(data: ListeningData, plays: int = 2_000_000):
    """Ranges of listeners with about ``plays`` plays, so that memory does not grow with the data."""
    starts = np.unique(np.searchsorted(data.offsets, np.arange(0, data.n_plays, plays)))
    return zip(starts, [*starts[1:], data.n_users], strict=True)


def _pairs(data: ListeningData, users: tuple[int, int], first: int, last: int, decay: float):
    """-> (row, column, worth), each pair of a listener once."""
    plays = slice(data.offsets[users[0]], data.offsets[users[1]])
    items, user = data.items[plays].astype(np.int64), data.user_of_play[plays]
    keys, worths = [], []
    for distance in range(abs(first), abs(last) + 1):
        same = (user[:-distance] == user[distance:]) & (items[:-distance] != items[distance:])
        earlier, later = items[:-distance][same], items[distance:][same]
        row, column = (earlier, later) if first > 0 else (later, earlier)
        keys.append(np.stack([user[distance:][same], row * data.n_tracks + column]))
        worths.append(np.full(len(row), decay ** (distance - abs(first)), np.float32))
    key, nearest = np.unique(np.concatenate(keys, 1), axis=1, return_index=True)
    return key[1] // data.n_tracks, key[1] % data.n_tracks, np.concatenate(worths)[nearest]


def pair_successors(data: ListeningData, n: int) -> tuple[np.ndarray, Neighbours]:
    """Keys of the pairs of tracks played in a row, ascending, and the share of listeners by the track that followed."""
    user, items = data.user_of_play, data.items.astype(np.int64)
    whole = user[:-2] == user[2:]
    key = (items[:-2] * data.n_tracks + items[1:-1])[whole]
    if not len(key):
        return np.array([-1], np.int64), Neighbours(np.full((1, n), -1, np.int32), np.zeros((1, n), np.float32))
    _, key, following = np.unique(np.stack([user[2:][whole], key, items[2:][whole]]), axis=1)
    keys, row = np.unique(key, return_inverse=True)
    counts = sp.csr_matrix((np.ones(len(row), np.float32), (row, following)), shape=(len(keys), data.n_tracks))
    share = sp.diags(1.0 / (np.asarray(counts.sum(1)).ravel() + 1.0)) @ counts
    return keys, Neighbours.of(share, n)


def co_listened(data: ListeningData, config: TwoStageConfig, block: int = 2000) -> Neighbours:
    """Cosine of the tracks' listeners, shrunk by n / (n + shrinkage) for n who heard both (Bell & Koren 2007)."""
    matrix = user_item_matrix(data)
    by_track = matrix.T.tocsr()
    scale = 1.0 / np.sqrt(np.maximum(data.listeners, 1))
    parts = []
    for start in range(0, data.n_tracks, block):
        both = (by_track[start : start + block] @ matrix).tocsr()
        row = start + np.repeat(np.arange(both.shape[0]), np.diff(both.indptr))
        value = both.data**2 / (both.data + config.shrinkage) * scale[row] * scale[both.indices]
        both.data = np.where(both.indices == row, 0.0, value)
        both.eliminate_zeros()
        parts.append(Neighbours.of(both, config.neighbours))
    return Neighbours(np.concatenate([p.ids for p in parts]), np.concatenate([p.weights for p in parts]))


def artist_neighbours(data: ListeningData, config: TwoStageConfig, window: int = 10, decay: float = 0.8) -> Neighbours:
    """Which other artist follows (or, half as much, precedes) an artist within ``window`` plays."""
    artist, user = data.catalogue.artist[data.items], data.user_of_play
    n = max(1, data.catalogue.n_artists)
    total = sp.csr_matrix((n, n), dtype=np.float32)
    for distance in range(1, window + 1):
        earlier, later = artist[:-distance], artist[distance:]
        used = (user[:-distance] == user[distance:]) & (earlier != later) & (earlier >= 0) & (later >= 0)
        weight = np.full(int(used.sum()), decay ** (distance - 1), np.float32)
        total = total + sp.csr_matrix((weight, (earlier[used], later[used])), shape=(n, n))
    plays = np.bincount(artist[artist >= 0], minlength=n)
    return Neighbours.of(sp.diags(1.0 / (plays + 5.0)) @ (total + 0.5 * total.T), config.neighbours)


def item_columns(data: ListeningData) -> np.ndarray:
    """float32 [I, len(ITEM_COLUMNS)]: how a track is heard, and its place among its artist's."""
    artist, n = data.catalogue.artist, data.catalogue.n_artists
    code = np.where(artist >= 0, artist, n)
    listeners = data.listeners
    of_artist = np.bincount(code, weights=listeners, minlength=n + 1)
    tracks = np.bincount(code, minlength=n + 1)
    order = np.lexsort((-listeners, code))
    place = np.empty(len(code), np.int64)
    place[order] = np.arange(len(code)) - np.concatenate([[0], np.cumsum(tracks)])[code[order]]
    user, played = data.user_of_play, code[data.items]
    goes_on = (user[1:] == user[:-1]) & (played[1:] == played[:-1]) & (played[1:] < n)
    continued = np.bincount(data.items[1:][goes_on], minlength=len(code))
    led_on = np.bincount(data.items[:-1][goes_on], minlength=len(code))
    columns = [np.log1p(data.plays), np.log1p(listeners), data.plays / np.maximum(listeners, 1),
               np.log1p(of_artist[code]), listeners / np.maximum(of_artist[code], 1), np.log1p(tracks[code]), place,
               (continued + 1) / (data.plays + 3), (led_on + 1) / (data.plays + 3)]  # fmt: skip
    return np.stack(columns, 1).astype(np.float32)
