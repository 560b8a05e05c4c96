"""Training from end to end: split, fit, judge side by side, refit on everything, export, register."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.card import model_card
from models.data import ListeningData
from models.evaluation import report
from models.evaluation.metrics import PRIMARY, Evaluation, evaluate
from models.evaluation.segments import by_segment
from models.evaluation.split import HELD_OUT, HoldOut, split
from models.lineup import SHIPPED, Entry, LineupConfig, entries
from models.recommend.base import CatalogueRecommender, Progress
from models.registry import EVALUATION, SERVING, log_version
from models.tracking import connect, log_data_versions, log_files, log_model_run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """What is trained and how much is held out."""

    lineup: LineupConfig = field(default_factory=LineupConfig)
    held_out: float = HELD_OUT


@dataclass(frozen=True)
class TrainResult:
    """run_id: the parent MLflow run; version: the number registered; evaluations: all models, the shipped one last;
    evaluation_model, serving_model: SavedModel folders under ``out_dir``; hold_out: what the gate judges on next;
    report: the files of the comparison, by name."""

    run_id: str
    registered_name: str
    version: int
    evaluations: list[Evaluation]
    evaluation_model: Path
    serving_model: Path
    hold_out: HoldOut
    card: str
    fit_seconds: dict[str, float]
    report: dict[str, bytes] = field(repr=False)

    @property
    def model_uri(self) -> str:
        return f"models:/{self.registered_name}/{self.version}"

    def markdown(self) -> str:
        return report.markdown(self.evaluations)


@dataclass
class _Judged:
    """What the side-by-side part found."""

    evaluations: list[Evaluation] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    shipped: CatalogueRecommender | None = None


def train_and_evaluate(
    data: ListeningData,
    config: TrainConfig,
    out_dir: Path,
    tracking_uri: str,
    experiment: str,
    registered_name: str,
    data_versions: Mapping[str, int],
    git_revision: str = "",
    seed: int = 0,
    progress: Progress | None = None,
    artifact_root: str | None = None,
    spark: SparkSession | None = None,
) -> TrainResult:
    """Train all models of the line-up and register the shipped one as a challenger.

    One parent run holds the comparison and the registered model, one nested run each model. ``progress`` gets what the
    models report, with ``model`` and ``stage`` ("evaluation" or "serving") added. Folders ``evaluation/`` and
    ``serving/`` under ``out_dir`` are replaced. A new experiment keeps its artefacts below ``artifact_root``.
    ``spark``: the session that trains LambdaMART, which is trained in this process without one.
    """
    import mlflow

    out_dir = Path(out_dir)
    lineup = config.lineup.seeded(seed)
    experiment_id = connect(tracking_uri, experiment, artifact_root)
    train, hold_out = split(data, config.held_out)
    tags = {"git_revision": git_revision, "clock": data.clock, "hold_out": hold_out.description}
    with mlflow.start_run(experiment_id=experiment_id, run_name="recommender", tags=tags) as run:
        log_data_versions(data_versions)
        sizes = {"users": data.n_users, "tracks": data.n_tracks, "plays": data.n_plays}
        mlflow.log_params({"seed": seed, "held_out": config.held_out, "shipped": SHIPPED, **sizes})
        version_tags = tags | {f"data_version.{k}": str(v) for k, v in data_versions.items()} | {"seed": str(seed)}
        judged = _side_by_side(experiment_id, train, hold_out, entries(lineup, spark=spark), progress)
        files = report.files(judged.evaluations, hold_out.description, curves=judged.curves,
                             segments=by_segment(judged.evaluations, hold_out))  # fmt: skip
        mlflow.log_metrics(judged.evaluations[-1].flat())
        log_files(files, "report")
        evaluation_model = _export(judged.shipped, out_dir / EVALUATION, registered_name)
        serving = judged.shipped.refit(data, _staged(progress, SERVING, SHIPPED))
        serving_model = _export(serving, out_dir / SERVING, registered_name)
        card = model_card(
            registered_name, data, hold_out, judged.evaluations, lineup.two_stage.params(), data_versions, git_revision
        )
        example = data.histories([int(np.argmax(np.diff(data.offsets)))])[0][-5:]
        version = log_version(evaluation_model, serving_model, registered_name, example, card, version_tags)
    return TrainResult(run.info.run_id, registered_name, version, judged.evaluations, evaluation_model, serving_model,
                       hold_out, card, judged.seconds, files)  # fmt: skip


def _side_by_side(
    experiment_id: str, train: ListeningData, hold_out: HoldOut, lineup: list[Entry], progress: Progress | None
) -> _Judged:
    """Fit and judge each model in a nested run."""
    out = _Judged()
    for entry in lineup:
        curve: list[dict[str, float]] = []
        model, started = entry.make(), time.monotonic()
        model.fit(train, _staged(progress, EVALUATION, entry.name, curve))
        seconds = out.seconds[entry.name] = time.monotonic() - started
        evaluation = evaluate(model, hold_out, entry.name)
        out.evaluations.append(evaluation)
        if any("loss" in point for point in curve):
            out.curves[entry.name] = curve
        log_model_run(experiment_id, evaluation, entry.params, seconds, curve)
        log.info("%s: %s %s, fit in %.1f s", entry.name, PRIMARY, evaluation.metrics[PRIMARY], seconds)
        if entry.name == SHIPPED:
            out.shipped = model
    return out


def _staged(progress: Progress | None, stage: str, model: str, curve: list | None = None) -> Progress:
    def report_epoch(values: Mapping[str, float]) -> None:
        if curve is not None:
            curve.append(dict(values))
        if progress is not None:
            progress({"stage": stage, "model": model, **values})

    return report_epoch


def _export(model: CatalogueRecommender, path: Path, name: str) -> Path:
    from models.export import write_saved_model

    shutil.rmtree(path, ignore_errors=True)
    return write_saved_model(model, path, name)
