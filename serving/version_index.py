"""The index of an exported version, built of its own vectors and asked with those of real listeners."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lakehouse import arrow
from lakehouse.settings import Settings
from lakehouse.tables.gold import SEQUENCES
from models.recommend.base import Requests
from models.saved import SavedRecommender
from serving.gate import HISTORY
from serving.index import INDEX, IndexReport, build_index


def index_version(settings: Settings, folder: Path, listeners: int = 200, n: int = 100) -> IndexReport | None:
    """Build the index of the exported version in ``folder``; None where the model has no vectors of tracks."""
    from models.export import ITEM_VECTORS

    if not (folder / ITEM_VECTORS).is_file():
        return None
    rows = arrow.dataset(settings, SEQUENCES).head(listeners, columns=["track_ids"])
    histories = [ids[-HISTORY:] for ids in rows.column("track_ids").to_pylist()] or [[]]
    queries = SavedRecommender(folder).encode(Requests.of(histories))
    ids = (folder / "assets" / "tracks.txt").read_text(encoding="utf-8").splitlines()
    return build_index(folder / INDEX, np.load(folder / ITEM_VECTORS), ids, queries, n)
