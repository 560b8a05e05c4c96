"""The edge bundle of the lake's own champion."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lakehouse import arrow
from lakehouse.settings import Settings
from lakehouse.tables.silver import TRACKS
from models.compress.edge import write_bundle
from models.compress.run import TEACHER, Store, in_tie_order, sequence_of
from models.data import ListeningData
from models.lineup import LineupConfig
from models.registry import name_of


def write_bundle_of_lake(
    settings: Settings, data: ListeningData, line_up: LineupConfig, country: str, out: Path, n: int = 2000
) -> dict[str, object]:
    """Write the bundle of a country's ``n`` most played tracks; -> its manifest. line_up: the settings of the training.

    Raises NothingToCompress where no trained model has a sequential one, ValueError for a country without plays.
    """
    store = Store(settings.tracking_uri, settings.experiment, settings.registered_model, settings.mlflow_artifacts)
    data = in_tie_order(data)
    with tempfile.TemporaryDirectory(prefix="soundlake-edge-") as folder:
        path, number = store.teacher(Path(folder))
        scorer = sequence_of(path, line_up.two_stage, data)
        version = f"{name_of(settings.registered_model, TEACHER)}:{number}"
        return write_bundle(scorer, data, country, out, version, titles(settings), n)


def titles(settings: Settings) -> dict[str, str]:
    """Title of each track of the lake, where it is known."""
    rows = arrow.read(settings, TRACKS, ["track_id", "title"])
    pairs = zip(rows["track_id"].to_pylist(), rows["title"].to_pylist(), strict=True)
    return {track: title for track, title in pairs if title}
