"""Training from end to end: split, fit, judge beside the baselines, refit on everything, export, register."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from models.baselines import SIDE_BY_SIDE, BaselineConfig, make
from models.card import model_card
from models.data import ListeningData
from models.evaluation import report
from models.evaluation.metrics import PRIMARY, Evaluation, evaluate
from models.evaluation.split import HELD_OUT, HoldOut, split
from models.recommend.base import Progress
from models.recommend.config import TwoTowerConfig
from models.recommend.ease import EASE_RECENT, EaseConfig
from models.registry import EVALUATION, SERVING, log_version
from models.tracking import connect, log_bytes, log_data_versions, log_model_run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training; each model's own reasons are with its configuration."""

    two_tower: TwoTowerConfig = field(default_factory=TwoTowerConfig)
    ease: EaseConfig = field(default_factory=EaseConfig)
    ease_recent: EaseConfig = EASE_RECENT
    held_out: float = HELD_OUT


@dataclass(frozen=True)
class TrainResult:
    """run_id: the parent MLflow run; version: the number registered; evaluations: baselines, then the two-tower model;
    evaluation_model, serving_model: SavedModel folders under ``out_dir``; hold_out: what the gate judges on next."""

    run_id: str
    registered_name: str
    version: int
    evaluations: list[Evaluation]
    evaluation_model: Path
    serving_model: Path
    hold_out: HoldOut
    card: str
    fit_seconds: dict[str, float]

    @property
    def model_uri(self) -> str:
        return f"models:/{self.registered_name}/{self.version}"

    def markdown(self) -> str:
        return report.markdown(self.evaluations)


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
) -> TrainResult:
    """Train the recommender and register it as a challenger.

    One parent run holds the comparison and the registered model, one nested run each model. ``progress`` gets what the
    models report, with ``model`` and ``stage`` ("evaluation" or "serving") added. Folders ``evaluation/`` and
    ``serving/`` under ``out_dir`` are replaced. A new experiment keeps its artefacts below ``artifact_root``.
    """
    import mlflow

    from models.recommend.two_tower import TwoTower

    out_dir = Path(out_dir)
    config = replace(config, two_tower=replace(config.two_tower, seed=seed))
    experiment_id = connect(tracking_uri, experiment, artifact_root)
    train, hold_out = split(data, config.held_out)
    tags = {"git_revision": git_revision, "clock": data.clock, "hold_out": hold_out.description}
    with mlflow.start_run(experiment_id=experiment_id, run_name="recommender", tags=tags) as run:
        log_data_versions(data_versions)
        mlflow.log_params(
            {
                "seed": seed,
                "held_out": config.held_out,
                "users": data.n_users,
                "tracks": data.n_tracks,
                "plays": data.n_plays,
            }
        )
        evaluations, model, seconds = _side_by_side(experiment_id, train, hold_out, config, progress)
        _log_comparison(evaluations)
        evaluation_model = _export(model, out_dir / EVALUATION, registered_name)
        serving = TwoTower(config.two_tower).fit(data, _staged(progress, SERVING, "two_tower"))
        serving_model = _export(serving, out_dir / SERVING, registered_name)
        card = model_card(registered_name, data, hold_out, evaluations, config.two_tower, data_versions, git_revision)
        example = data.histories([int(np.argmax(np.diff(data.offsets)))])[0][-5:]
        version_tags = tags | {f"data_version.{k}": str(v) for k, v in data_versions.items()}
        version = log_version(evaluation_model, serving_model, registered_name, example, card, version_tags)
    return TrainResult(
        run.info.run_id, registered_name, version, evaluations, evaluation_model, serving_model, hold_out, card, seconds
    )


def _side_by_side(
    experiment_id: str, train: ListeningData, hold_out: HoldOut, config: TrainConfig, progress: Progress | None
):
    """Fit and judge each model in a nested run; returns evaluations, the two-tower model, seconds to fit by model."""
    from models.recommend.two_tower import TwoTower

    baselines = BaselineConfig(
        ease=config.ease, ease_recent=config.ease_recent, transitions=config.two_tower.transitions
    )
    settings = {
        **{name: make(name, baselines) for name in SIDE_BY_SIDE},
        "two_tower": (TwoTower(config.two_tower, hold_out), config.two_tower.params()),
    }
    evaluations, seconds = [], {}
    for name, (model, params) in settings.items():
        curve: list[dict[str, float]] = []
        started = time.monotonic()
        model.fit(train, _staged(progress, EVALUATION, name, curve))
        seconds[name] = time.monotonic() - started
        evaluation = evaluate(model, hold_out, name)
        evaluations.append(evaluation)
        log_model_run(experiment_id, evaluation, params, seconds[name], curve)
        log.info("%s: %s %s, fit in %.1f s", name, PRIMARY, evaluation.metrics[PRIMARY], seconds[name])
    return evaluations, model, seconds


def _staged(progress: Progress | None, stage: str, model: str, curve: list | None = None) -> Progress:
    def report_epoch(values: Mapping[str, float]) -> None:
        if curve is not None:
            curve.append(dict(values))
        if progress is not None:
            progress({"stage": stage, "model": model, **values})

    return report_epoch


def _log_comparison(evaluations: list[Evaluation]) -> None:
    import mlflow

    mlflow.log_metrics(evaluations[-1].flat())
    mlflow.log_text(report.markdown(evaluations), "comparison.md")
    mlflow.log_text(report.table(evaluations).to_csv(index=False), "comparison.csv")
    log_bytes(report.comparison_plot(evaluations), "comparison.png")


def _export(model, path: Path, name: str) -> Path:
    from models.export import write_saved_model

    shutil.rmtree(path, ignore_errors=True)
    return write_saved_model(model, path, name)
