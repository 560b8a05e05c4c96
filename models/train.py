"""Training from end to end: split, fit, judge side by side, refit the best on everything, export, register."""

from __future__ import annotations

import logging
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
from models.lineup import FAST, RIVALS, WORTH, Entry, LineupConfig, entries
from models.recommend.base import CatalogueRecommender, Progress
from models.registry import EVALUATION, SERVING, log_version, name_of
from models.stored import TooLarge, store
from models.tracking import connect, log_data_versions, log_files, log_model_run, version_tags
from models.vocabulary import tie_order

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
    """run_id: the parent MLflow run; version: the number registered; shipped: the model that it is; evaluations: all
    models, the shipped one last; versions: number of each model under its own name, where it was kept;
    evaluation_model, serving_model: SavedModel folders under ``out_dir``; hold_out: what the gate judges on next;
    report: the files of the comparison, by name."""

    run_id: str
    registered_name: str
    version: int
    shipped: str
    versions: dict[str, int]
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
    rivals: dict[str, CatalogueRecommender] = field(default_factory=dict)
    stored: dict[str, Path] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def best_rival(self) -> str:
        """The rival that listeners may get: the best by the gate's metric, or the fast one where it is as good but for
        ``WORTH``. It moves to the last place."""
        rivals = {e.model: e for e in self.evaluations if e.model in self.rivals}
        value = {name: e.metrics[PRIMARY].value for name, e in rivals.items()}
        best = rivals[max(value, key=value.get)]
        if value.get(FAST, float("-inf")) >= (1 - WORTH) * value[best.model]:
            best = rivals[FAST]
        self.evaluations.remove(best)
        self.evaluations.append(best)
        return best.model


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
    """Train all models of the line-up and register each under its own name, and the better of the rivals, refit on
    everything, as the challenger for listeners.

    One parent run holds the comparison and the challenger, one nested run each model. ``progress`` gets what the
    models report, with ``model`` and ``stage`` ("evaluation" or "serving") added. Folders ``evaluation/`` and
    ``serving/`` under ``out_dir`` are replaced. A new experiment keeps its artefacts below ``artifact_root``.
    ``spark``: the session that trains LambdaMART, which is trained in this process without one.
    """
    import mlflow

    out_dir = Path(out_dir)
    lineup = config.lineup.seeded(seed)
    experiment_id = connect(tracking_uri, experiment, artifact_root)
    data = data.in_order(np.argsort(tie_order(data.catalogue.ids)))
    train, hold_out = split(data, config.held_out)
    tags = {"git_revision": git_revision, "clock": data.clock, "hold_out": hold_out.description}
    with mlflow.start_run(experiment_id=experiment_id, run_name="recommender", tags=tags) as run:
        log_data_versions(data_versions)
        sizes = {"users": data.n_users, "tracks": data.n_tracks, "plays": data.n_plays}
        mlflow.log_params({"seed": seed, "held_out": config.held_out, **sizes})
        of_version = tags | version_tags(data_versions) | {"seed": str(seed)}
        example = data.histories([int(np.argmax(np.diff(data.offsets)))])[0][-5:]
        keep = _Keeper(registered_name, out_dir / "models", data, hold_out, data_versions, git_revision, example,
                       of_version)  # fmt: skip
        judged = _side_by_side(experiment_id, train, hold_out, entries(lineup, spark=spark), keep, progress)
        shipped = judged.best_rival()
        mlflow.log_param("shipped", shipped)
        files = report.files(judged.evaluations, hold_out.description, curves=judged.curves,
                             segments=by_segment(judged.evaluations, hold_out))  # fmt: skip
        mlflow.log_metrics(judged.evaluations[-1].flat())
        log_files(files, "report")
        serving = judged.rivals[shipped].refit(data, _staged(progress, SERVING, shipped))
        models = {EVALUATION: judged.stored[shipped], SERVING: store(serving, out_dir / SERVING, registered_name)}
        card = keep.card(registered_name, judged.evaluations, serving.config.params())
        version = log_version(models, registered_name, example, card, of_version | {"model": shipped})
    return TrainResult(run.info.run_id, registered_name, version, shipped, judged.versions, judged.evaluations,
                       models[EVALUATION], models[SERVING], hold_out, card, judged.seconds, files)  # fmt: skip


@dataclass(frozen=True)
class _Keeper:
    """Registers models of one training, each under its own name."""

    registered_name: str
    folder: Path
    data: ListeningData
    hold_out: HoldOut
    data_versions: Mapping[str, int]
    git_revision: str
    example: list[str]
    tags: Mapping[str, str]

    def card(self, name: str, evaluations: list[Evaluation], params: Mapping[str, object]) -> str:
        return model_card(name, self.data, self.hold_out, evaluations, params, self.data_versions, self.git_revision)

    def __call__(self, model: CatalogueRecommender, entry: Entry, evaluations: list[Evaluation]) -> tuple[Path, int]:
        """Store and register a model in the active run; raises TooLarge."""
        name = name_of(self.registered_name, entry.name)
        path = store(model, self.folder / entry.name / EVALUATION, name)
        card = self.card(name, evaluations, entry.params)
        return path, log_version({EVALUATION: path}, name, self.example, card, self.tags | {"model": entry.name})


def _side_by_side(
    experiment_id: str,
    train: ListeningData,
    hold_out: HoldOut,
    lineup: list[Entry],
    keep: _Keeper,
    progress: Progress | None,
) -> _Judged:
    """Fit, judge and register each model in a nested run."""
    import mlflow

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
        with log_model_run(experiment_id, evaluation, entry.params, seconds, curve):
            try:
                out.stored[entry.name], out.versions[entry.name] = keep(model, entry, out.evaluations)
            except TooLarge as error:
                mlflow.set_tag("not_kept", str(error))
        log.info("%s: %s %s, fit in %.1f s", entry.name, PRIMARY, evaluation.metrics[PRIMARY], seconds)
        if entry.name in RIVALS:
            out.rivals[entry.name] = model
    return out


def _staged(progress: Progress | None, stage: str, model: str, curve: list | None = None) -> Progress:
    def report_epoch(values: Mapping[str, float]) -> None:
        if curve is not None:
            curve.append(dict(values))
        if progress is not None:
            progress({"stage": stage, "model": model, **values})

    return report_epoch
