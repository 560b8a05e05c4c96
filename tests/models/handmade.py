"""Listening data from a few sequences written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from listening_world import SCHEMA

from models.data import ListeningData

DAY_MS = 86_400_000


def listening(
    sequences: Mapping[str, str], days: Mapping[str, Sequence[float]] | None = None, devices: Mapping | None = None
) -> ListeningData:
    """Users' plays as strings of one-letter tracks, oldest first, over a catalogue of all letters in order.

    ``days``: of each play, which makes the clock true; ``devices``: of each play.
    """
    rows = []
    for user, tracks in sequences.items():
        times = None if days is None else [int(day * DAY_MS) * 1000 for day in days[user]]
        rows.append(
            {
                "user_key": user,
                "track_ids": list(tracks),
                "occurred_at": times,
                "local_hours": None if days is None else [12] * len(tracks),
                "devices": None if devices is None else list(devices[user]),
                "clock": "synthetic" if days is None else "event",
            }
        )
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    letters = sorted(set("".join(sequences.values())))
    return ListeningData.from_batches([batch], [pa.RecordBatch.from_pydict({"track_id": letters})])


def dense(data: ListeningData) -> np.ndarray:
    """float64 [U, I]: 1 where the user ever played the track."""
    out = np.zeros((data.n_users, data.n_tracks))
    out[data.user_of_play, data.items] = 1
    return out
