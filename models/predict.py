"""Batch predictions: ranked lists for many listeners as one Arrow table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from models.recommend.base import Recommender, Requests

SCHEMA = pa.schema([("user_id", pa.string()), ("rank", pa.int32()), ("track_id", pa.string()), ("score", pa.float32())])


def predict(recommender: Recommender, users: Sequence[str], requests: Requests, task: str, k: int = 100) -> pa.Table:
    """Rank tracks for every user: columns user_id, rank (from 1), track_id, score.

    requests: one a user, in order; task: "next" (repeats allowed) or "discover" (the history excluded). Raises
    ValueError for another task.
    """
    ids, scores = recommender.recommend(requests.for_task(task), k)
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
