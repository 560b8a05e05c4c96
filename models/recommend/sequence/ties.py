"""What ties a candidate to the listener at a moment: flags that embeddings of some dozen dimensions blur.

Half of the next plays are by the artist just played, and a third are tracks played before. Which of these ties count
now, a state decides; the flags themselves are exact.
"""

from __future__ import annotations

import tensorflow as tf

from models.recommend.sequence.layers import looked_up

TIES = ("same artist", "same album", "artist played before", "track played before")
"""As the latest play; and anywhere in the history."""


class Ties:
    """The flags of positions t (all of them, or the last alone) of histories.

    tracks: int32 [B, T], -1 no play; artists, albums: int32 [I], the catalogue's codes, -1 unknown.
    """

    def __init__(self, tracks: tf.Tensor, artists: tf.Tensor, albums: tf.Tensor, last: bool):
        self._artists, self._albums = artists, albums
        by, on = codes_of(artists, tracks), codes_of(albums, tracks)
        self._track_since = _first(tracks, tf.shape(artists)[0])
        self._artist_since = _first(by, tf.reduce_max(artists) + 1)
        rows = slice(-1, None) if last else slice(None)
        self.now = (by[:, rows], on[:, rows])
        self.place = tf.broadcast_to(tf.range(tf.shape(tracks)[1])[None, rows], tf.shape(self.now[0]))

    def of_all(self, candidates: tf.Tensor, where: tf.Tensor) -> list[tf.Tensor]:
        """float32 [P, N] of candidates int32 [N] at P positions ``where``, int64 [P, 2] (row, position)."""
        artists, albums = tf.gather(self._artists, candidates), tf.gather(self._albums, candidates)
        artist, album, place = (tf.gather_nd(x, where)[:, None] for x in (*self.now, self.place))
        rows = where[:, 0]
        artist_since = tf.gather(tf.gather(self._artist_since, artists + 1, axis=1), rows)
        track_since = tf.gather(tf.gather(self._track_since, candidates + 1, axis=1), rows)
        return _flags(artists[None], albums[None], artist, album, artist_since, track_since, place)

    def worth_of_catalogue(self, worth: tf.Tensor) -> tf.Tensor:
        """float32 [B, I]: the flags of all tracks at the last position, each times its worth, float32 [B, 4], added up.

        Made by artist and by album and spread over their tracks: a catalogue is long.
        """
        same_artist, same_album, heard_artist, heard_track = tf.split(worth, len(TIES), axis=1)
        artist, album = self.now[0][:, -1:], self.now[1][:, -1:]
        place = self.place[:, -1:]
        known = tf.where(artist >= 0, artist + 1, -1)[:, 0]
        of_artist = tf.cast(self._artist_since <= place, tf.float32) * heard_artist
        of_artist += tf.one_hot(known, tf.shape(of_artist)[1]) * same_artist
        of_album = tf.cast(self._albums[None] == tf.where(album >= 0, album, -2), tf.float32) * same_album
        of_track = tf.cast(self._track_since[:, 1:] <= place, tf.float32) * heard_track
        return tf.gather(of_artist, self._artists + 1, axis=1) + of_album + of_track

    def of_each(self, candidates: tf.Tensor, where: tf.Tensor) -> list[tf.Tensor]:
        """float32 [P] of one candidate a position, int32 [P]."""
        artists, albums = tf.gather(self._artists, candidates), tf.gather(self._albums, candidates)
        artist, album, place = (tf.gather_nd(x, where) for x in (*self.now, self.place))
        artist_since = tf.gather_nd(self._artist_since, tf.stack([tf.cast(where[:, 0], tf.int32), artists + 1], 1))
        track_since = tf.gather_nd(self._track_since, tf.stack([tf.cast(where[:, 0], tf.int32), candidates + 1], 1))
        return _flags(artists, albums, artist, album, artist_since, track_since, place)

    def of_lists(self, lists: tf.Tensor) -> list[tf.Tensor]:
        """float32 [K, B, Q, A, M] of lists of tracks of that shape at every position; -1 has no tie."""
        shape = tf.shape(lists)
        by_row = tf.reshape(tf.transpose(lists, [1, 0, 2, 3, 4]), [shape[1], -1])
        artists, albums = codes_of(self._artists, by_row), codes_of(self._albums, by_row)
        artist_since = tf.gather(self._artist_since, artists + 1, axis=1, batch_dims=1)
        track_since = tf.gather(self._track_since, by_row + 1, axis=1, batch_dims=1)

        def back(x):
            return tf.transpose(tf.reshape(x, [shape[1], shape[0], shape[2], shape[3], shape[4]]), [1, 0, 2, 3, 4])

        artist, album, place = (x[None, :, :, None, None] for x in (*self.now, self.place))
        return _flags(back(artists), back(albums), artist, album, back(artist_since), back(track_since), place)


def _flags(artists, albums, artist, album, artist_since, track_since, place) -> list[tf.Tensor]:
    flags = (
        (artists == artist) & (artists >= 0),
        (albums == album) & (albums >= 0),
        artist_since <= place,
        track_since <= place,
    )
    return [tf.cast(flag, tf.float32) for flag in flags]


def codes_of(codes: tf.Tensor, tracks: tf.Tensor) -> tf.Tensor:
    """int32, shaped as ``tracks``: their artists or albums, -1 where there is no track or it is unknown."""
    return tf.where(tracks >= 0, looked_up(codes, tf.maximum(tracks, 0)), -1)


def _first(codes: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """int32 [B, 1 + size]: where each code comes first, after a column for unknown; T or later where it does not."""
    shape = tf.shape(codes)
    cell = tf.range(shape[0])[:, None] * (size + 1) + codes + 1
    place = tf.where(codes >= 0, tf.broadcast_to(tf.range(shape[1])[None], shape), shape[1])
    # A minimum by segments, not a scattered one, which LiteRT lacks; of what is nowhere it is the largest number.
    found = tf.math.unsorted_segment_min(tf.reshape(place, [-1]), tf.reshape(cell, [-1]), shape[0] * (size + 1))
    return tf.reshape(found, [shape[0], size + 1])
