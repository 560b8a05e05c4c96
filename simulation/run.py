"""Write a simulated world to the raw zone, all at once or a day at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from lakehouse.catalogue import Artist, Track, User
from lakehouse.events import Envelope
from simulation.world import World

START = date(2026, 1, 1)


class Writer(Protocol):
    """What ``simulate`` writes to; ``lakehouse.sources.RawWriter`` is one."""

    def write(self, record: Envelope | Track | Artist | User, as_of: date | None = None) -> None: ...

    def flush(self) -> None: ...


@dataclass(frozen=True)
class SimulationSummary:
    """``world`` holds the ground truth."""

    world: World
    events: int
    entities: int
    first_date: date
    last_date: date


def simulate(
    writer: Writer,
    users: int = 2000,
    tracks: int = 5000,
    days: int = 30,
    start: date = START,
    seed: int = 7,
    start_day: int = 0,
    progress: Callable[[str], None] | None = None,
) -> SimulationSummary:
    """Write ``days`` days of a world from its day ``start_day`` on; each day is flushed before the next.

    ``start`` is the first day of the world, also when going on: ``start_day=30, days=1`` adds one day to a world that
    was written for 30, byte for byte as if it had been written for 31. The catalogue is dumped in full on day 0, then
    only what is new or changed each day.

    >>> with RawWriter("lake", "simulation") as writer:
    ...     simulate(writer, users=200, tracks=1000, days=7)
    """
    if start_day < 0:
        raise ValueError(f"start_day={start_day}: the world begins on day 0 ({start})")
    world = World.create(users, tracks, start_day + days, start, seed)
    events = entities = 0
    first = last = start
    for batch in world.events(start_day, days):
        for entity in world.catalogue(batch.day if batch.day else None, batch.day + 1):
            writer.write(entity, batch.date)
            entities += 1
        for event in batch:
            writer.write(event)
        writer.flush()
        events += len(batch)
        first, last = (batch.date if batch.day == start_day else first), batch.date
        if progress is not None:
            progress(f"simulated {batch.date}: {len(batch):,} events ({events:,} so far)")
    return SimulationSummary(world, events, entities, first, last)
