"""Listeners whose activity shows in the hour, the device and how the session sounds."""

from __future__ import annotations

import numpy as np

from models.context import FIELDS, UNKNOWN, Categories
from models.data import ACOUSTIC, Catalogue, ListeningData

ACTIVITIES, DEVICES = ("work", "relax", "exercise"), ("phone", "desktop")
DAY_MS, PLAY_MS = 86_400_000, 200_000
TRACKS = 90


def catalogue() -> Catalogue:
    """Every third track is calm, every third in between, every third loud and fast."""
    kind = np.arange(TRACKS) % 3
    acoustic = np.tile(kind[:, None] / 2, (1, len(ACOUSTIC))).astype(np.float32)
    acoustic[::10] = np.nan
    nothing = np.full(TRACKS, UNKNOWN, np.int32)
    ids = np.array([f"track-{i}" for i in range(TRACKS)], dtype=object)
    return Catalogue(ids, nothing, nothing, nothing, acoustic, 0, 0, 0)


def activity_world(users: int = 60, days: int = 12, seed: int = 0) -> ListeningData:
    """One session a day and listener; nine of ten fit their activity, and every event says it."""
    rng = np.random.default_rng(seed)
    items, times, context, sessions = [], [], [], []
    for _ in range(users):
        for day in range(days):
            activity, n = rng.integers(3), rng.integers(3, 8)
            clear = rng.random(n) < 0.9
            items += (3 * rng.integers(0, TRACKS // 3, n) + np.where(clear, activity, rng.integers(0, 3, n))).tolist()
            hour = (9, 21, 18)[activity] if rng.random() < 0.6 else rng.integers(24)
            device = int(activity == 0) if rng.random() < 0.7 else rng.integers(2)
            start = 1_700_000_000_000 + day * DAY_MS + rng.integers(0, 3_600_000)
            times += [start + i * PLAY_MS for i in range(n)]
            moment = {"hour": hour, "weekday": day % 7, "device": device, "activity": activity}
            context += [[moment.get(name, UNKNOWN) for name in FIELDS]] * n
            sessions += [day] * n
    per_user = np.bincount(_owner(sessions), minlength=users)
    return ListeningData(
        users=np.array([f"user-{u:03}" for u in range(users)], dtype=object),
        catalogue=catalogue(),
        offsets=np.concatenate([[0], np.cumsum(per_user)]),
        items=np.array(items, np.int32),
        times=np.array(times, np.int64),
        clock="event",
        context=np.array(context, np.int16),
        sessions=np.array(sessions, np.int32),
        skipped=(rng.random(len(items)) < 0.2).astype(np.int8),
        context_fields=Categories.of(FIELDS, device=DEVICES, activity=ACTIVITIES, weather=("clear", "rain")),
    )


def _owner(sessions: list[int]) -> np.ndarray:
    """The listener of each play: a new one where the sessions begin again."""
    numbers = np.array(sessions)
    return np.concatenate([[0], np.cumsum(np.diff(numbers) < 0)])
