"""Batch predictions: ranked lists for many listeners as one Arrow table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from models.recommend.base import Recommender

SCHEMA = pa.schema([("user_id", pa.string()), ("rank", pa.int32()), ("track_id", pa.string()), ("score", pa.float32())])


def predict(
    recommender: Recommender,
    histories: Mapping[str, Sequence[str]],
    task: str,
    k: int = 100,
    hours: Mapping[str, int] | None = None,
    devices: Mapping[str, str] | None = None,
) -> pa.Table:
    """Rank tracks for every user: columns user_id, rank (from 1), track_id, score.

    histories: user -> track ids, oldest first; task: "next" (repeats allowed) or "discover" (the history excluded);
    hours and devices: context per user where known. Users keep the order of ``histories``.
    """
    if task not in ("next", "discover"):
        raise ValueError(f"task: {task!r} is neither 'next' (repeats allowed) nor 'discover' (history excluded)")
    users = list(histories)
    plays = [list(histories[user]) for user in users]
    ids, scores = recommender.recommend(
        plays,
        k,
        plays if task == "discover" else None,
        None if hours is None else [hours.get(user, -1) for user in users],
        None if devices is None else [devices.get(user, "") for user in users],
    )
    listed = ids != ""
    counts = listed.sum(1)
    return pa.table(
        {
            "user_id": pa.array(np.repeat(np.asarray(users, dtype=object), counts), pa.string()),
            "rank": pa.array(np.broadcast_to(np.arange(1, k + 1), ids.shape)[listed], pa.int32()),
            "track_id": pa.array(ids[listed], pa.string()),
            "score": pa.array(scores[listed], pa.float32()),
        },
        schema=SCHEMA,
    )
