"""A small world in which everything a cold start may use is planted: age sets the genre of six in seven listeners, the
genre the sound, and they keep to a few artists of their genre. Every track is as popular as any other of its artist."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from models.data import ListeningData

GENRES, ARTISTS, TRACKS = 4, 5, 8  # artists of a genre, tracks of an artist
BIRTH_YEARS = (1950, 1970, 1985, 2005)  # of those who like each genre


def planted(users: int = 240, plays: int = 40, seed: int = 0, clock: str = "synthetic") -> ListeningData:
    """Users know three artists of their genre; 5 % of the plays are of any track."""
    rng = np.random.default_rng(seed)
    n_tracks = GENRES * ARTISTS * TRACKS
    rows, profiles = [], []
    for user in range(users):
        genre = int(rng.integers(GENRES))
        artists = genre * ARTISTS + rng.choice(ARTISTS, 3, replace=False, p=np.array([8, 4, 2, 1, 1]) / 16)
        tracks = artists[rng.integers(0, 3, plays)] * TRACKS + rng.integers(0, TRACKS, plays)
        tracks = np.where(rng.random(plays) < 0.05, rng.integers(0, n_tracks, plays), tracks)
        times = np.sort(rng.integers(0, 30 * 86_400_000, plays))
        rows.append({"user_key": f"u{user}", "track_ids": [f"t{t}" for t in tracks], "clock": clock,
                     "occurred_at": times.tolist() if clock == "event" else None})  # fmt: skip
        cohort = genre if user % 7 else (genre + 2) % GENRES
        profiles.append({"user_key": f"u{user}", "birth_year": BIRTH_YEARS[cohort], "country": "SE"})
    schema = pa.schema([("user_key", pa.string()), ("track_ids", pa.list_(pa.string())), ("clock", pa.string()),
                        ("occurred_at", pa.list_(pa.timestamp("ms", "UTC")))])  # fmt: skip
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    return ListeningData.from_batches([batch], [tracks_of_genres()], [pa.RecordBatch.from_pylist(profiles)])


def tracks_of_genres() -> pa.RecordBatch:
    index = np.arange(GENRES * ARTISTS * TRACKS)
    genre = index // (ARTISTS * TRACKS)
    noise = np.random.default_rng(1).normal(0, 0.02, (2, len(index)))
    return pa.RecordBatch.from_pydict(
        {
            "track_id": [f"t{i}" for i in index],
            "artist_id": [f"a{i // TRACKS}" for i in index],
            "artist_name": [f"Band {i // TRACKS}" for i in index],
            "title": [f"Song {i}" for i in index],
            "genre": [f"g{g}" for g in genre],
            "energy": (genre / GENRES + noise[0]).tolist(),
            "valence": ((genre % 2) * 0.5 + noise[1]).tolist(),
        }
    )
