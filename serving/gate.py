"""What the infra gate asks: requests of real listeners, and the answers that the exported model gives in process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lakehouse import arrow
from lakehouse.settings import Settings
from lakehouse.tables.gold import SEQUENCES
from models.context.wire import words
from models.recommend.base import Requests
from models.saved import SavedRecommender, padded

HISTORY = 200
"""Latest plays sent with a request; the model looks at fewer."""


def sample_requests(
    settings: Settings, folder: Path, users: int, k: int
) -> tuple[list[dict[str, np.ndarray]], list[np.ndarray], list[np.ndarray]]:
    """-> (inputs of signature `recommend`, expected ids, expected scores), one request a listener.

    The first is a listener without any history.
    """
    rows = arrow.dataset(settings, SEQUENCES).head(users - 1, columns=["track_ids", "local_hours", "devices"])
    histories = [[], *(ids[-HISTORY:] for ids in rows.column("track_ids").to_pylist())]
    hours = [-1, *((h[-1] if h and h[-1] is not None else -1) for h in rows.column("local_hours").to_pylist())]
    devices = ["", *((d[-1] or "" if d else "") for d in rows.column("devices").to_pylist())]
    model = SavedRecommender(folder)
    requests, ids, scores = [], [], []
    for history, hour, device in zip(histories, hours, devices, strict=True):
        moment = {"hour": [hour], "device": [device]}
        requests.append(
            {
                "history": padded([history or [""]]),
                "exclude": padded([history or [""]]),
                "context": padded(words(moment, {}, 1)),
                "k": np.int32(k),
            }
        )
        found, points = model.recommend(Requests.of([history], [history], **moment), k)
        ids.append(found[0])
        scores.append(points[0])
    return requests, ids, scores
