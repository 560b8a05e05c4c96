"""The simulated listening world: listeners, catalogue, the hidden truth about both, and the events they cause.

>>> world = World.create(users=2000, tracks=5000, days=30, start=date(2026, 1, 1), seed=7)
>>> for batch in world.events():
...     print(batch.date, len(batch), next(iter(batch)).event_id)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from lakehouse.catalogue import Artist, Track, User
from lakehouse.events import Envelope
from simulation.choice import create_library, weekly_rotation
from simulation.day import LOOKBACK_DAYS, simulate_day
from simulation.encode import encode_rows
from simulation.log import DAY_MS
from simulation.tracks import Tracks, create_tracks
from simulation.truth import Truth
from simulation.users import Users, create_users

_STREAMS = {"tracks": 1, "users": 2, "library": 3, "rotation": 4, "day": 5, "live": 6}


@dataclass(frozen=True)
class DayBatch:
    """Everything that arrived on one UTC day; iterating builds the contract events."""

    world: World
    day: int
    rows: np.ndarray

    @property
    def date(self) -> date:
        return self.world.start + timedelta(days=self.day)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Envelope]:
        return encode_rows(self.world, self.rows)


class World:
    """One seed, one world: the same arguments give the same listeners, tracks and events, byte for byte.

    ``users``, ``tracks`` and ``truth`` (affinity, fit, skip probability) are the ground truth for evaluation.
    """

    def __init__(self, users: Users, tracks: Tracks, days: int, start: date, seed: int):
        self.users, self.tracks, self.days, self.start, self.seed = users, tracks, days, start, seed
        self.truth = Truth(users, tracks)
        self._library = create_library(self.rng("library"), users, tracks, self.truth)
        self._rotation: tuple[int, np.ndarray] | None = None

    @classmethod
    def create(cls, users: int, tracks: int, days: int, start: date, seed: int) -> World:
        """Draw a world. ``days`` only says how long ``events()`` runs by default: it changes nothing in the world."""
        for name, value, least in (("users", users, 1), ("tracks", tracks, 50), ("days", days, 1), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"{name}={value}: a world needs at least {least}")
        catalogue = create_tracks(np.random.default_rng((seed, _STREAMS["tracks"])), tracks, start)
        listeners = create_users(np.random.default_rng((seed, _STREAMS["users"])), users, catalogue, start)
        return cls(listeners, catalogue, days, start, seed)

    def events(self, start_day: int = 0, days: int | None = None) -> Iterator[DayBatch]:
        """One batch for each day on which events arrive, ``start_day`` first.

        What began earlier and arrives late is in the batch of its arrival, so batches of one long run and of several
        short ones are the same.
        """
        last = start_day + (self.days if days is None else days)
        waiting = np.concatenate(
            [self._arriving_from(day, start_day) for day in range(max(0, start_day - LOOKBACK_DAYS), start_day)]
            or [simulate_day(self, start_day)[:0]]
        )
        for day in range(start_day, last):
            waiting = np.concatenate([waiting, simulate_day(self, day)])
            arrived = waiting["received"] < self.midnight_ms(day + 1)
            table, waiting = waiting[arrived], waiting[~arrived]
            order = np.lexsort((table["number"], table["day"], table["received"]))
            yield DayBatch(self, day, table[order])

    def catalogue(self, first_day: int | None = None, before_day: int | None = None) -> Iterator[Artist | Track | User]:
        """What became known on days [first_day, before_day): artists, tracks, listeners, changed plans.

        Without arguments: everything up to the end of the world's window, as it is then.
        """
        end = self.days if before_day is None else before_day
        if first_day is None:
            yield from self.tracks.artist_entities(range(len(self.tracks.artist_number)))
        yield from self.tracks.entities(self.tracks.released(first_day, end))
        known = self.users.join_day < end
        if first_day is not None:
            changed = (self.users.plan_day >= first_day) & (self.users.plan_day < end)
            known &= (self.users.join_day >= first_day) | changed
        yield from self.users.entities(np.flatnonzero(known), end - 1)

    def rng(self, stream: str, *key: int) -> np.random.Generator:
        """The random numbers of one part of the world, independent of all others."""
        return np.random.default_rng((self.seed, _STREAMS[stream], *key))

    def rotation(self, week: int) -> np.ndarray:
        """What each listener has on repeat in ``week``, [U, ROTATION]."""
        if self._rotation is None or self._rotation[0] != week:
            self._rotation = (week, weekly_rotation(self.rng("rotation", week), self._library, self.truth))
        return self._rotation[1]

    def knows(self, user: np.ndarray | int, track: np.ndarray | int) -> np.ndarray:
        """Whether the listener knew and liked the track before the world began; shapes broadcast."""
        library = self._library[user]
        return (library == np.asarray(track)[..., None]).any(-1)

    def midnight_ms(self, day: int) -> int:
        """Epoch milliseconds at which day ``day`` of the world begins (UTC)."""
        return ((self.start - date(1970, 1, 1)).days + day) * DAY_MS

    def _arriving_from(self, day: int, first_arrival: int) -> np.ndarray:
        table = simulate_day(self, day)
        return table[table["received"] >= self.midnight_ms(first_arrival)]
