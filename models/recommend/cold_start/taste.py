"""Shares of genres, artists and tracks, level by level, each shrunk to what is known one step further out.

With c the plays (or listeners) of a listener or a segment, p the shares expected of them, and P a group's parent,

    share(group) = share(P) * (c_group + k p_group / p_P) / (c_P + k)

for genres within everything, artists within genres and, where asked for, tracks within artists: nested Dirichlet
priors. What comes out is the log of share / p, the lift. For a listener the expected shares are those of the segment,
for the segment those of everybody: who has played nothing is taken as their segment, and each play moves them off it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp


class TasteTree:
    """genre and artist: int [I] codes, -1 unknown (all such are a group of their own); shares: float [I], above 0, what
    is expected of anybody. An artist belongs to the genre of most of its tracks' shares."""

    def __init__(self, genre: np.ndarray, artist: np.ndarray, shares: np.ndarray):
        self.shares = np.asarray(shares, np.float64) / np.sum(shares)
        genre = np.where(genre >= 0, genre, genre.max(initial=-1) + 1)
        artist = np.where(artist >= 0, artist, artist.max(initial=-1) + 1 + genre)  # unknown ones, by genre
        _, self._artist = np.unique(artist, return_inverse=True)
        mass = sp.coo_matrix((self.shares, (self._artist, genre))).tocsr()
        self._genre_of = np.asarray(mass.argmax(1)).ravel()
        n = len(self.shares)
        self._to_artist = sp.csr_matrix((np.ones(n), (np.arange(n), self._artist)))
        self._to_genre = sp.csr_matrix((np.ones(len(self._genre_of)), (np.arange(len(self._genre_of)), self._genre_of)))

    def lifts(self, counts: sp.csr_matrix, prior: np.ndarray | None, strengths: Sequence[float]) -> np.ndarray:
        """float32 [B, I]: log lifts over ``shares`` of B rows of counts [B, I].

        prior: float [B, I], log lifts of what is expected of each row (None: nothing but ``shares``); strengths: the k
        of genres, of artists and, if there is a third, of tracks. The result is that of the rows alone, on top of
        ``prior``.
        """
        expected = np.tile(self.shares, (counts.shape[0], 1))
        if prior is not None:
            expected *= np.exp(prior)
            expected /= expected.sum(1, keepdims=True)
        of_artist = np.asarray(expected @ self._to_artist)
        of_genre = np.asarray(of_artist @ self._to_genre)
        by_artist = (counts @ self._to_artist).toarray()
        by_genre = np.asarray(by_artist @ self._to_genre)
        total = by_genre.sum(1, keepdims=True)
        lift = _lift(by_genre, total, of_genre, np.ones_like(total), strengths[0])[:, self._genre_of]
        at = self._genre_of
        lift += _lift(by_artist, by_genre[:, at], of_artist, of_genre[:, at], strengths[1])
        out = lift[:, self._artist]
        if len(strengths) > 2:
            at = self._artist
            out += _lift(counts.toarray(), by_artist[:, at], expected, of_artist[:, at], strengths[2])
        return out.astype(np.float32)


def _lift(count, of_parent, share, share_of_parent, strength: float) -> np.ndarray:
    """log of (count + k q) / (of_parent + k) / q with q the share expected within the parent."""
    within = np.maximum(share / np.maximum(share_of_parent, 1e-300), 1e-12)
    return np.log1p(count / (strength * within)) - np.log1p(of_parent / strength)
