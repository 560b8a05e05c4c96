"""Plays as sparse matrices: what the collaborative models are fit on and asked with."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from models.data import ListeningData


def user_item_matrix(data: ListeningData) -> sp.csr_matrix:
    """float32 [U, I]: 1 where the user ever played the track."""
    matrix = play_counts(data)
    matrix.data[:] = 1.0
    return matrix


def play_counts(data: ListeningData) -> sp.csr_matrix:
    """float32 [U, I]: how often the user played the track."""
    parts = (np.ones(data.n_plays, np.float32), data.items, data.offsets)
    matrix = sp.csr_matrix(
        parts, shape=(data.n_users, data.n_tracks), copy=True
    )  # summing in place would sort the plays
    matrix.sum_duplicates()
    return matrix


def recency_query(histories: list[np.ndarray], n_tracks: int, half_life: float | None) -> sp.csr_matrix:
    """float32 [B, I]: the weight of each played track's latest play, 0.5^(age / half_life); all 1 without a half-life.

    Histories are arrays of track indices, oldest first; age counts plays back from the latest, which has age 0.
    """
    tracks, weights = [], []
    for history in histories:
        latest, ages = np.unique(history[::-1], return_index=True)
        tracks.append(latest)
        weights.append(np.ones(len(latest)) if half_life is None else 0.5 ** (ages / half_life))
    offsets = np.concatenate([[0], np.cumsum([len(x) for x in tracks])]).astype(np.int64)
    parts = (
        np.concatenate([*weights, np.zeros(0)]).astype(np.float32),
        np.concatenate([*tracks, np.zeros(0, np.int64)]).astype(np.int64),
        offsets,
    )
    return sp.csr_matrix(parts, shape=(len(histories), n_tracks))


def popularity_prior(data: ListeningData) -> np.ndarray:
    """float32 [I]: listeners scaled into [0, 1e-6], to rank what a model has nothing to say about."""
    return (1e-6 * data.listeners / max(1, data.listeners.max(initial=0))).astype(np.float32)
