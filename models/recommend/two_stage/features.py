"""What the ranker knows of a candidate: the sources' scores, how the listener's plays relate to it, what it is.

Every feature of the plays is a weighted count: how much of the history, each play weighted in a certain way, was this
track (its artist, its album). The ways are decays by age, single places, and "came after an earlier play of what is
playing now", which is how listeners return to sequences of their own. A count is a sum over plays, so a feature's part
in a score can be shared out to plays.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from models.recommend.two_stage.config import TwoStageConfig
from models.recommend.two_stage.sources import Sources
from models.recommend.two_stage.tables import ITEM_COLUMNS, WINDOWS, Tables

NEVER = 999.0  # an age beyond every history
DECAYS = {"all": None, "50": 50.0, "10": 10.0, "3": 3.0}

BASE, OTHER = "base", "other"
GROUPS = {
    "own_history": "the listener's own plays of the track",
    "artist": "plays of its artist",
    "album": "plays of its album",
    "follows": "what is played after plays like these",
    "together": "what those who heard these also hear",
    "lists": "how many lists of candidates it is on, and where",
    "popularity": "how widely, and in which manner, the track is heard",
    "listener": "how the listener listens, and what plays now",
    "genre": "its genre",
    "sound": "how it sounds",
    "taste": "its likeness to plays, as a network sees it",
    "moment": "the moment as a whole",
    "sequence": "the sequential model's opinion",
    OTHER: "all else",
    BASE: "what any candidate has before anything is known of it",
}
"""What a feature speaks of, in words; a field of the context is a group of its own, ``context.hour``."""
_OF_TABLE = {"co_listened": "together", "artist_own": "artist", "artist_near": "artist", "joined": "lists",
             **dict.fromkeys(("own", "own_successor"), "own_history"),
             **dict.fromkeys(("pair", "matched", "matched_soon", *WINDOWS), "follows")}  # fmt: skip
_OF_LISTENER = ("plays", "artist_run", "repeats_", "stays_with_", "current_")
_OF_PREFIX = {"track_": "own_history", "artist_": "artist", "album_": "album"}


def group_of(name: str) -> str:
    """The group of a feature by its name."""
    plain = name.removesuffix("_of_best")
    table = plain.rpartition("_")[0] if plain.rpartition("_")[2].replace(".", "").isdecimal() else plain
    for found in (plain, table):
        if found in _OF_TABLE:
            return _OF_TABLE[found]
    if name in ITEM_COLUMNS:
        return "popularity"
    if name.startswith(_OF_LISTENER):
        return "listener"
    return next((group for prefix, group in _OF_PREFIX.items() if name.startswith(prefix)), OTHER)


class Features(tf.Module):
    """Turns histories and candidates into float32 [B, C, F]; ``names`` says what the F are."""

    def __init__(self, tables: Tables, sources: Sources, config: TwoStageConfig):
        super().__init__(name="features")
        self.sources, self.length = sources, config.history
        self.columns = tf.Variable(tables.columns, trainable=False, name="columns")
        self.artist = tf.Variable(tables.artist, trainable=False, name="artist")
        self.album = tf.Variable(tables.album, trainable=False, name="album")
        ages = np.arange(self.length)
        self._decay = {n: np.ones(self.length, np.float32) if h is None else (0.5 ** (ages / h)).astype(np.float32)
                       for n, h in DECAYS.items()}  # fmt: skip
        self.names: tuple[str, ...] = ()

    def __call__(
        self, history: tf.Tensor, candidates: tf.Tensor, place: tf.Tensor, joined: tf.Tensor, scores: tf.Tensor
    ) -> tf.Tensor:
        """history: int32 [B, L] newest first; candidates: int32 [B, C], the tracks, and place: int32 [B, C], where in
        the pool; joined: float32 [B, W] and scores: float32 [B, S, W], of the pool's tracks."""
        rows = tf.maximum(candidates, 0)
        lists = self._of_lists(place, tf.concat([joined[:, None], scores], 1))
        listener = self._of_listener(history)
        current = tf.gather(self.columns, tf.maximum(history[:, 0], 0))
        told = tf.concat([tf.stack(list(listener.values()), -1), current], -1)
        told = tf.repeat(told[:, None], tf.shape(candidates)[1], 1)
        listed = [name for source in ("joined", *self.sources.names()) for name in (source, f"{source}_of_best")]
        plays, of_plays = self._of_plays(history, candidates)
        self.names = (*listed, *of_plays, *ITEM_COLUMNS, *listener, *(f"current_{name}" for name in ITEM_COLUMNS))
        return tf.concat([lists, *plays, tf.gather(self.columns, rows), told], -1)

    @staticmethod
    def _of_lists(place: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """float32 [B, C, 2 S]: each score of the pool's tracks [B, S, W], and its share of the best."""
        own = tf.gather(scores, tf.maximum(place, 0), axis=2, batch_dims=1)
        both = tf.stack([own, own / (tf.reduce_max(scores, 2, keepdims=True) + 1e-9)], 2)  # [B, S, 2, C]
        return tf.transpose(tf.reshape(both, [-1, 2 * scores.shape[1], tf.shape(place)[1]]), [0, 2, 1])

    def attribute(self, codes: tf.Variable, tracks: tf.Tensor, missing: int) -> tf.Tensor:
        """The artist or album of tracks; ``missing`` where the track or its attribute is unknown."""
        found = tf.where(tracks >= 0, tf.gather(codes, tf.maximum(tracks, 0)), -1)
        return tf.where(found >= 0, found, missing)

    def matched(self, history: tf.Tensor, candidates: tf.Tensor) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """attribute -> its codes of the plays [B, L] and of the candidates [B, C], never equal where unknown."""
        out = {"track": (history, tf.where(candidates >= 0, candidates, -2))}
        for name, codes in (("artist", self.artist), ("album", self.album)):
            out[name] = (self.attribute(codes, history, -1), self.attribute(codes, candidates, -2))
        return out

    def ways(self, history: tf.Tensor) -> dict[str, dict[str, tf.Tensor]]:
        """attribute -> way of weighting -> float32 [B, L], the weight of each play."""
        played = tf.cast(history >= 0, tf.float32)
        artist = self.attribute(self.artist, history, -1)
        album = self.attribute(self.album, history, -1)
        common = {name: played * decay for name, decay in self._decay.items()}
        for place in range(3):
            common[f"last_{place}"] = played * tf.one_hot(place, self.length)
        once = _follows(history, 1)
        twice = once & (_older(history, 2) == history[:, 1:2])
        thrice = twice & (_older(history, 3) == history[:, 2:3])
        soon = tf.reduce_any(tf.stack([_follows(history, d) for d in range(1, 6)]), 0)
        before = tf.concat([tf.zeros_like(once[:, :1]), history[:, :-1] == history[:, :1]], 1)
        before &= tf.range(self.length)[None] > 1

        def weight(mask):
            return tf.cast(mask, tf.float32) * played

        after, soon_after = weight(once), weight(soon)
        opened = weight((_older(artist, 1) != artist) & (artist >= 0))  # began a run of its artist
        switched = opened * weight(_follows(artist, 1))
        track = {
            "after": after,
            "after_lately": after * self._decay["50"],
            "after_two": weight(twice),
            "after_three": weight(thrice),
            "soon_after": soon_after,
            "before": weight(before),
            "opened": opened,
            "opened_lately": opened * self._decay["50"],
            "switched_to": switched,
        }
        same = tf.reduce_any(tf.stack([_follows(artist, d) for d in range(1, 4)]), 0)
        own = {
            "after_artist": weight(_follows(artist, 1)),
            "soon_after_artist": weight(same),
            "opened": opened,
            "opened_lately": opened * self._decay["50"],
            "switched_to": switched,
        }
        return {
            "track": common | track,
            "artist": common | own | {"after": after, "soon_after": soon_after},
            "album": common | {"after_album": weight(_follows(album, 1)), "after": after},
        }

    def _of_plays(self, history: tf.Tensor, candidates: tf.Tensor) -> tuple[list[tf.Tensor], list[str]]:
        """Blocks of columns, float32 [B, C, ...], and the names of all columns."""
        ways = self.ways(history)
        ages = tf.range(self.length, dtype=tf.float32)
        blocks, names = [], []
        for what, (plays, wanted) in self.matched(history, candidates).items():
            there = tf.cast(wanted[:, :, None] == plays[:, None, :], tf.float32)
            blocks.append(tf.matmul(there, tf.stack(list(ways[what].values()), -1)))
            latest = there * (NEVER - ages)  # by a product: a choice between two is several times slower
            when = {"age": NEVER - tf.reduce_max(latest, -1)}
            if what == "track":
                when["after_age"] = NEVER - tf.reduce_max(latest * ways[what]["after"][:, None], -1)
                when["first_age"] = tf.reduce_max(there * (1 + ages), -1) - 1
            blocks.append(tf.stack(list(when.values()), -1))
            names += [f"{what}_{name}" for name in (*ways[what], *when)]
        return blocks, names

    def _of_listener(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """float32 [B] each: how much they repeat tracks and stay with artists and albums, now and at all."""
        played = tf.cast(history >= 0, tf.float32)
        order = tf.range(self.length)
        again = tf.reduce_any((history[:, :, None] == history[:, None, :]) & (order[None] > order[:, None]), -1)
        habits = {"repeats": tf.cast(again, tf.float32) * played}
        for name, codes in (("artist", self.artist), ("album", self.album)):
            of_play = self.attribute(codes, history, -1)
            stays = (_older(of_play, 1) == of_play) & (of_play >= 0)
            habits[f"stays_with_{name}"] = tf.cast(stays, tf.float32) * played
        out = {"plays": tf.reduce_sum(played, 1)}
        for name, habit in habits.items():
            for way in ("all", "10", "3"):
                weight = played * self._decay[way]
                out[f"{name}_{way}"] = tf.reduce_sum(habit * weight, 1) / (tf.reduce_sum(weight, 1) + 0.1)
        out["artist_run"] = tf.reduce_sum(tf.math.cumprod(habits["stays_with_artist"], 1), 1)
        return out


def _older(values: tf.Tensor, distance: int) -> tf.Tensor:
    """The value ``distance`` plays before each play, -3 past the end of the history."""
    return tf.pad(values[:, distance:], [[0, 0], [0, distance]], constant_values=-3)


def _follows(values: tf.Tensor, distance: int) -> tf.Tensor:
    """bool [B, L]: ``distance`` plays before this one was what is playing now."""
    return (_older(values, distance) == values[:, :1]) & (values[:, :1] >= 0)
