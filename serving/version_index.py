"""The index of an exported version, built of its own vectors and asked with those of real listeners."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lakehouse import arrow
from lakehouse.settings import Settings
from lakehouse.tables.gold import SEQUENCES
from models.export import ITEM_VECTORS
from serving.index import INDEX, IndexReport, build_index

LATEST = 200  # plays of a listener that make the query


def index_version(settings: Settings, folder: Path, listeners: int = 200, n: int = 100) -> IndexReport | None:
    """Build the index of the exported version in ``folder``; None where the model has no vectors of tracks."""
    import tensorflow as tf

    from models.saved import padded

    if not (folder / ITEM_VECTORS).is_file():
        return None
    rows = arrow.dataset(settings, SEQUENCES).head(listeners, columns=["track_ids"])
    histories = [ids[-LATEST:] for ids in rows.column("track_ids").to_pylist()] or [[""]]
    encode = tf.saved_model.load(str(folder)).signatures["encode"]
    context = tf.fill([len(histories), 1], "")
    queries = encode(history=tf.constant(padded(histories)), context=context)["vector"].numpy()
    ids = (folder / "assets" / "tracks.txt").read_text(encoding="utf-8").splitlines()
    return build_index(folder / INDEX, np.load(folder / ITEM_VECTORS), ids, queries, n)
