"""Listening with one planted law each, for what a sequential model has to be able to learn."""

from __future__ import annotations

import numpy as np

from models.data import Catalogue, ListeningData

HOUR = 3_600_000
MINUTE = 60_000
TRACKS = 40
START = 1_704_067_200_000  # a Monday, midnight UTC


def listening(
    histories: list[np.ndarray], times: list[np.ndarray] | None = None, tracks: int = TRACKS
) -> ListeningData:
    """Plays of tracks that nothing is known of."""
    unknown = np.full(tracks, -1, np.int32)
    ids = np.asarray([f"track-{i}" for i in range(tracks)], dtype=object)
    catalogue = Catalogue(ids, unknown, unknown, unknown, np.full((tracks, 9), np.nan, np.float32), 0, 0, 0)
    return ListeningData(
        users=np.asarray([f"user-{u}" for u in range(len(histories))], dtype=object),
        catalogue=catalogue,
        offsets=np.concatenate([[0], np.cumsum([len(h) for h in histories])]).astype(np.int64),
        items=np.concatenate(histories).astype(np.int32),
        times=None if times is None else np.concatenate(times).astype(np.int64),
        clock="synthetic" if times is None else "event",
    )


def after(track: int) -> int:
    return (7 * track + 3) % TRACKS


def chain(users: int, seed: int, plays: int = 30) -> list[np.ndarray]:
    """After track i mostly comes ``after(i)``."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(users):
        history = [int(rng.integers(TRACKS))]
        while len(history) < plays:
            history.append(after(history[-1]) if rng.random() < 0.8 else int(rng.integers(TRACKS)))
        out.append(np.asarray(history))
    return out


def rounds(users: int, seed: int, length: int = 5, times: int = 4) -> list[np.ndarray]:
    """Everyone plays some tracks of their own, in an order of their own, over and over."""
    rng = np.random.default_rng(seed)
    return [np.tile(rng.choice(TRACKS, length, replace=False), times) for _ in range(users)]


def by_the_hour(users: int, seed: int, plays: int = 24) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The first half of the tracks by day, the other by night, at random."""
    rng = np.random.default_rng(seed)
    histories, times = [], []
    for _ in range(users):
        when = START + np.sort(rng.integers(0, 28 * 24, plays)) * HOUR
        night = (when // HOUR % 24) >= 12
        histories.append(rng.integers(0, TRACKS // 2, plays) + night * (TRACKS // 2))
        times.append(when)
    return histories, times


GROUP = 4


def favourites(users: int, seed: int, pairs: int = 5) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sessions of four plays, a day apart: one of the listener's favourite group of four tracks, then one of radio (the
    first twenty tracks), and so on; the last is of radio. What starts the next one can be known from long ago alone."""
    rng = np.random.default_rng(seed)
    histories, times = [], []
    for _ in range(users):
        first = TRACKS // 2 + GROUP * int(rng.integers(TRACKS // 2 // GROUP))
        sessions = [
            rng.integers(0, TRACKS // 2, 4) if s % 2 else first + rng.integers(0, GROUP, 4) for s in range(2 * pairs)
        ]
        histories.append(np.concatenate(sessions))
        times.append(START + np.concatenate([s * 24 * HOUR + np.arange(4) * MINUTE for s in range(2 * pairs)]))
    return histories, times
