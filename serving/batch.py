"""Predictions for every listener by the version that is served, read from the server's folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.settings import Settings
from models.data import ListeningData
from models.lake_data import load
from models.predict import predict
from models.recommend.base import Recommender
from models.recommend.requests import requests_of
from serving.config import get_model, load_server_config
from serving.listeners import user_ids
from serving.publish import STABLE

SERVED = "served"


class NothingServed(LookupError):
    """No version was ever published in this lake."""


def served_version(settings: Settings) -> int | None:
    """Version with the label `stable` in the server's configuration file, None before the first publication."""
    if not settings.models_config.exists():
        return None
    model = get_model(load_server_config(settings.models_config), settings.model_name)
    return model.labels.get(STABLE) if model else None


def write_predictions(
    settings: Settings, task: str, out: Path, k: int = 100, model: str = SERVED
) -> tuple[str, int, int]:
    """Write user_id, rank, track_id to ``out``; -> (what predicted, listeners, rows).

    ``model`` is SERVED or a name of :mod:`models.lineup`, which is fit on the lake's gold first. Ids that are all plain
    integers are written as integers, as the data sets have them.
    """
    data, _ = load(settings)
    recommender, name = _served(settings) if model == SERVED else _fitted(settings, data, model)
    names = user_ids(settings)
    table = predict(recommender, [names[key] for key in data.users], requests_of(data), task, k)
    columns = {
        "user_id": _integers(table["user_id"]),
        "rank": table["rank"],
        "track_id": _integers(table["track_id"]),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), out)
    return name, data.n_users, table.num_rows


def _served(settings: Settings) -> tuple[Recommender, str]:
    from models.saved import SavedRecommender

    version = served_version(settings)
    if version is None:
        raise NothingServed(f"No version of {settings.model_name} is served yet; `soundlake run` publishes one")
    folder = settings.models_dir / settings.model_name / str(version)
    return SavedRecommender(folder), f"{settings.model_name} version {version}"


def _fitted(settings: Settings, data: ListeningData, name: str) -> tuple[Recommender, str]:
    from models.lineup import LineupConfig, entry

    return entry(name, LineupConfig().seeded(settings.seed)).make().fit(data), f"{name}, fit on the lake"


def _integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        numbers = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    return numbers if numbers.cast(pa.string()).equals(column) else column
