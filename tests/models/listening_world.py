"""A small listening world with structure to learn: genres of artists of albums, played through in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from models.data import ACOUSTIC

PER_ALBUM, ALBUMS = 8, 25
START = datetime(2024, 1, 1, tzinfo=UTC)


def sequence_batch(users: int = 60, seed: int = 0, clock: str = "event") -> pa.RecordBatch:
    """Listeners of two genres each, who mostly play albums on from where they are."""
    rng = np.random.default_rng(seed)
    rows = [_row(f"user-{user:03}", rng, clock) for user in range(users)]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


SCHEMA = pa.schema(
    [
        ("user_key", pa.string()),
        ("track_ids", pa.list_(pa.string())),
        ("occurred_at", pa.list_(pa.timestamp("us", "UTC"))),
        ("local_hours", pa.list_(pa.int32())),
        ("devices", pa.list_(pa.string())),
        ("clock", pa.string()),
    ]
)


def _row(user: str, rng: np.random.Generator, clock: str) -> dict:
    n = int(rng.integers(20, 50))
    albums = rng.choice(ALBUMS, 6, replace=False)
    track, tracks = int(albums[0] * PER_ALBUM), []
    for _ in range(n):
        onward = rng.random() < 0.8 and (track + 1) % PER_ALBUM
        track = track + 1 if onward else int(rng.choice(albums) * PER_ALBUM + rng.integers(PER_ALBUM))
        tracks.append(f"track-{track}")
    times = [START + timedelta(minutes=float(m)) for m in np.sort(rng.integers(0, 60 * 24 * 30, n))]
    return {
        "user_key": user,
        "track_ids": tracks,
        "occurred_at": times,
        "local_hours": [t.hour for t in times],
        "devices": [str(d) for d in rng.choice(["phone", "speaker"], n)],
        "clock": clock,
    }


def track_batch(attributes: bool = True, seed: int = 0) -> pa.RecordBatch:
    """200 tracks of 25 albums; the last album of four more tracks is never played."""
    rng = np.random.default_rng(seed)
    index = np.arange(ALBUMS * PER_ALBUM + 4)
    columns: dict[str, list] = {"track_id": [f"track-{i}" for i in index]}
    if attributes:
        columns["artist_id"] = [f"artist-{i // (2 * PER_ALBUM)}" for i in index]
        columns["album_id"] = [f"album-{i // PER_ALBUM}" if i % 5 else None for i in index]
        columns["genre"] = [f"genre-{i % 3}" for i in index // (4 * PER_ALBUM)]
        for name in ACOUSTIC:
            columns[name] = np.where(index % 7, rng.random(len(index)), np.nan).tolist()
    return pa.RecordBatch.from_pydict(columns)
