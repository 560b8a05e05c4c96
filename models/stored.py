"""A fitted recommender in a folder: a SavedModel where its scorer is TensorFlow, else its arrays, pickled.

A pickle runs what it says when it is read: load only what your own training wrote.
"""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

from models.recommend.base import CatalogueRecommender, Recommender

PICKLE = "model.pkl"
LARGEST = 512 * 2**20
"""Bytes; an exact item-to-item matrix of a large catalogue is not worth keeping every day."""


class TooLarge(ValueError):
    """The model is not kept."""


def store(model: CatalogueRecommender, path: Path, name: str) -> Path:
    """Write ``model`` to the folder ``path``, anew; raises TooLarge, leaving nothing, for a pickle over ``LARGEST``."""
    shutil.rmtree(path, ignore_errors=True)
    if model.servable is not None:
        from models.export import write_saved_model

        return write_saved_model(model, path, name)
    content = pickle.dumps(model, protocol=pickle.HIGHEST_PROTOCOL)
    if len(content) > LARGEST:
        raise TooLarge(f"{len(content) / 2**20:,.0f} MiB, above {LARGEST / 2**20:,.0f}")
    path.mkdir(parents=True)
    (path / PICKLE).write_bytes(content)
    return path


def load(path: Path, name: str | None = None) -> Recommender:
    """What :func:`store` wrote; raises FileNotFoundError where neither form is there."""
    if (Path(path) / PICKLE).is_file():
        return pickle.loads((Path(path) / PICKLE).read_bytes())
    from models.saved import SavedRecommender

    return SavedRecommender(path, name)
