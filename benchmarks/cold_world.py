"""The simulated world as listening data, without a lake between: who asked is known again by the world's own ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date

import numpy as np
import pyarrow as pa

from models.data import ListeningData
from simulation.genres import SUBGENRES
from simulation.log import KIND
from simulation.rhythm import DEVICES, OFFSETS
from simulation.users import create_users
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
    """Simulate and read."""
    return read(World.create(users=users, tracks=tracks, days=days, start=start, seed=seed))


def another_market(world: World, users: int, least_age: int, seed: int) -> World:
    """Other listeners of the same catalogue: ``users`` are drawn and those of at least ``least_age`` years stay."""
    drawn = create_users(np.random.default_rng(seed), users, world.tracks, world.start)
    old = np.flatnonzero(world.start.year - drawn.birth_year >= least_age)
    columns = {f.name: getattr(drawn, f.name) for f in fields(drawn)}
    kept = {name: rows[old] for name, rows in columns.items() if isinstance(rows, np.ndarray)}
    return World(replace(drawn, **kept), world.tracks, world.days, world.start, seed)


def read(world: World) -> KnownWorld:
    """Its plays, those that arrived twice counted once."""
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
        {world.users.user_id(i): i for i in range(len(world.users))},
        {world.tracks.track_id(i): i for i in range(len(world.tracks))},
        batch,
    )


def picked_subgenres(known: KnownWorld, users: Sequence[str], n: int = 3, seed: int = 0) -> list[list[str]]:
    """What listeners tick at sign-up: ``n`` subgenres, drawn by their true shares among those with a track; no play is
    looked at."""
    rng, offered = np.random.default_rng(seed), np.bincount(known.world.tracks.subgenre, minlength=len(SUBGENRES)) > 0
    weights = known.world.users.subgenre_weight * offered
    weights = weights / weights.sum(1, keepdims=True)
    drawn = [rng.choice(len(SUBGENRES), n, replace=False, p=weights[known.users[user]]) for user in users]
    return [[SUBGENRES[i][1] for i in row] for row in drawn]


def picked_artists(
    known: KnownWorld, users: Sequence[str], shown: Sequence[str], n: int = 3, doubt: float = 0.3, seed: int = 0
) -> list[list[str]]:
    """The ``n`` of the artists ``shown`` (ids) whose tracks suit each listener best in truth, by a noisy judgement:
    ``doubt`` scales its Gumbel noise, in deviations of taste over the catalogue."""
    rng, tracks = np.random.default_rng(seed), known.world.tracks
    place = {tracks.artist_id(artist): artist for artist in range(len(tracks.artist_number))}
    members = [np.flatnonzero(tracks.artist == place[artist]) for artist in shown]
    out = []
    for user in users:
        one = np.array([known.users[user]])
        liking = np.array([known.world.truth.affinity(one, rows).mean() for rows in members])
        best = np.argsort(-(liking + doubt * rng.gumbel(size=len(liking))))[:n]
        out.append([shown[i] for i in best])
    return out


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
