"""Activity recognition from end to end: fit on the earlier plays, judged on the later ones, registered, promoted."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.context.activity import ActivityClassifier, ActivityConfig, said
from models.context.activity_report import activity_report, listener_means
from models.data import ListeningData
from models.evaluation.bootstrap import Interval, paired_interval
from models.registry import CHALLENGER, CHAMPION, aliased_version
from models.tracking import connect, log_data_versions, version_tags

HELD_OUT = 0.1
FOLDER = "activity"
MARGIN = 0.01
"""Nats of log loss that a newer classifier may lose against the champion."""


@dataclass(frozen=True)
class TrainedActivity:
    """difference: log loss of the champion minus that of the new version, None without a champion."""

    run_id: str
    version: int
    promoted: bool
    reason: str
    difference: Interval | None
    metrics: dict[str, float]
    report: str


def train_activity(
    data: ListeningData,
    tracking_uri: str,
    experiment: str,
    registered_name: str,
    data_versions: Mapping[str, int],
    git_revision: str = "",
    seed: int = 0,
    artifact_root: str | None = None,
) -> TrainedActivity:
    """Fit on the plays before the last tenth of the time, judge on those from then on, and register.

    The alias ``champion`` moves unless the new version is shown to lose more than ``MARGIN`` nats. Raises ValueError as
    :meth:`ActivityClassifier.fit` does, where the plays do not say enough.
    """
    import mlflow

    experiment_id = connect(tracking_uri, experiment, artifact_root)
    cutoff = np.inf if data.times is None else np.quantile(data.times, 1 - HELD_OUT)
    train = data if data.times is None else data.keep(data.times < cutoff)
    classifier = ActivityClassifier(ActivityConfig(seed=seed)).fit(train)
    told = said(data)
    later = told[data.times[told] >= cutoff]
    report = activity_report(classifier, train, data, later)
    metrics = report.overall()
    tags = {"model": "activity", "git_revision": git_revision, "hold_out": f"plays from {int(cutoff)} ms on"}
    with mlflow.start_run(experiment_id=experiment_id, run_name="activity", tags=tags) as run, \
            tempfile.TemporaryDirectory() as folder:  # fmt: skip
        log_data_versions(data_versions)
        mlflow.log_params({"seed": seed, "trees": classifier.trees, "temperature": classifier.temperature})
        mlflow.log_metrics(metrics)
        mlflow.log_text(report.markdown(), "report.md")
        classifier.save(Path(folder))
        mlflow.log_artifacts(folder, FOLDER)
        info = mlflow.xgboost.log_model(classifier.booster, name="booster", registered_model_name=registered_name)
        version = int(info.registered_model_version)
        client = mlflow.MlflowClient(tracking_uri, tracking_uri)
        client.set_registered_model_alias(registered_name, CHALLENGER, str(version))
        client.update_model_version(registered_name, str(version), report.markdown())
        difference = _against_champion(tracking_uri, registered_name, classifier, data, later)
        promoted, reason = _verdict(difference)
        for key, value in (tags | version_tags(data_versions) | {"gate.reason": reason, "seed": str(seed)}).items():
            client.set_model_version_tag(registered_name, str(version), key, value)
        if promoted:
            client.set_registered_model_alias(registered_name, CHAMPION, str(version))
            client.delete_registered_model_alias(registered_name, CHALLENGER)
    return TrainedActivity(run.info.run_id, version, promoted, reason, difference, metrics, report.markdown())


def champion_activity(tracking_uri: str, registered_name: str) -> ActivityClassifier | None:
    """The classifier with the alias ``champion``, None where none was registered."""
    import mlflow

    number = aliased_version(tracking_uri, registered_name, CHAMPION)
    if number is None:
        return None
    mlflow.set_tracking_uri(tracking_uri)
    found = mlflow.MlflowClient(tracking_uri, tracking_uri).get_model_version(registered_name, str(number))
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(run_id=found.run_id, artifact_path=FOLDER, dst_path=folder)
        return ActivityClassifier.load(Path(path))


def _against_champion(tracking_uri: str, name: str, classifier, data: ListeningData, later) -> Interval | None:
    champion = champion_activity(tracking_uri, name)
    if champion is None:
        return None
    theirs, ours = (listener_means(model, data, later)["log_loss"] for model in (champion, classifier))
    return paired_interval(ours, theirs)


def _verdict(difference: Interval | None) -> tuple[bool, str]:
    if difference is None:
        return True, "Promoted: there is no champion."
    said_so = f"log loss {difference:+} less than the champion's, paired over listeners"
    if difference.hi < -MARGIN:
        return False, f"Refused: {said_so}, a loss of more than {MARGIN} nats."
    return True, f"Promoted: {said_so}, no loss of more than {MARGIN} nats is shown."
