"""The simulated world as listening data, without a lake between: who asked is known again by the world's own ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from models.data import ListeningData
from simulation.log import KIND
from simulation.rhythm import DEVICES, OFFSETS
from simulation.world import World

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class KnownWorld:
    """world: with its truth; data: its plays; users, tracks: raw id -> index in the world; names: the batch of tracks
    that the data were read from, with titles."""

    world: World
    data: ListeningData
    users: dict[str, int]
    tracks: dict[str, int]
    names: pa.RecordBatch


def known_world(users: int, tracks: int, days: int, seed: int, start: date = date(2026, 1, 1)) -> KnownWorld:
    """Simulate and read. Plays that arrived twice count once."""
    world = World.create(users=users, tracks=tracks, days=days, start=start, seed=seed)
    days_rows = [batch.rows[batch.rows["kind"] == KIND["play"]] for batch in world.events()]
    rows = np.concatenate(days_rows)
    _, first = np.unique(rows["day"].astype(np.int64) << 32 | rows["number"], return_index=True)
    rows = rows[first]
    rows = rows[np.lexsort((rows["number"], rows["occurred"], rows["user"]))]
    batch = _track_batch(world)
    data = ListeningData.from_batches([_sequences(world, rows)], [batch], [_users(world)])
    return KnownWorld(
        world,
        data,
        {world.users.user_id(i): i for i in range(users)},
        {world.tracks.track_id(i): i for i in range(tracks)},
        batch,
    )


def _sequences(world: World, rows: np.ndarray) -> pa.RecordBatch:
    users, counts = np.unique(rows["user"], return_counts=True)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    ids = np.array([world.tracks.track_id(i) for i in range(len(world.tracks))], dtype=object)
    hours = rows["occurred"] // HOUR_MS + np.round(OFFSETS[world.users.place[rows["user"]]] / 60).astype(np.int64)
    columns = {
        "track_ids": pa.array(ids[rows["track"]], pa.string()),
        "occurred_at": pa.array(rows["occurred"], pa.timestamp("ms", "UTC")),
        "local_hours": pa.array((hours % 24).astype(np.int32)),
        "devices": pa.array(np.array(DEVICES, dtype=object)[rows["device"]], pa.string()),
        "skipped": pa.array(rows["ms_played"] * 2 < world.tracks.duration_ms[rows["track"]]),
    }
    return pa.RecordBatch.from_pydict(
        {
            "user_key": pa.array([world.users.user_id(int(u)) for u in users]),
            "clock": pa.array(["event"] * len(users)),
            **{name: pa.ListArray.from_arrays(offsets, values) for name, values in columns.items()},
        }
    )


def _track_batch(world: World) -> pa.RecordBatch:
    released = world.tracks.entities(world.tracks.released(None, world.days))
    rows = []
    for track in released:
        row = {name: getattr(track, name) for name in ("track_id", "title", "artist_id", "artist_name", "album_id",
                                                        "genre", "subgenre")}  # fmt: skip
        acoustic = track.acoustic
        rows.append(row | {name: getattr(acoustic, name) for name in acoustic.__struct_fields__})
    return pa.RecordBatch.from_pylist(rows)


def _users(world: World) -> pa.RecordBatch:
    entities = world.users.entities(range(len(world.users)), world.days - 1)
    return pa.RecordBatch.from_pylist(
        [{"user_key": u.user_id, "birth_year": u.birth_year, "gender": u.gender, "country": u.country, "plan": u.plan}
         for u in entities]
    )  # fmt: skip
