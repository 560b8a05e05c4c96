"""Training of the session model: judge on the hold-out, refit on everything, export, register.

Its registered name is its own. A version becomes the champion, in whose space listeners are remembered, unless it ranks
the next play worse than popularity does.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.data import ListeningData
from models.evaluation.bootstrap import Difference
from models.evaluation.metrics import Evaluation, compare, evaluate
from models.evaluation.split import split
from models.recommend.base import Progress
from models.recommend.sequence.config import SessionConfig
from models.registry import CHAMPION, aliased_version, register_files
from models.tracking import connect, log_data_versions, log_model_run, version_tags

log = logging.getLogger(__name__)

METRIC = "next_ndcg_at_10"
FOLDER = "session"
_DESCRIPTION = "The next play from the current session and a stored memory of the sessions before it."


@dataclass(frozen=True)
class SessionResult:
    """version: the number registered; space: what its memories are called; gain: METRIC less that of popularity."""

    run_id: str
    version: int
    space: str
    evaluation: Evaluation
    gain: Difference
    promoted: bool
    fit_seconds: float


def train_session(
    data: ListeningData,
    config: SessionConfig,
    tracking_uri: str,
    experiment: str,
    name: str,
    data_versions: Mapping[str, int],
    progress: Progress | None = None,
    artifact_root: str | None = None,
) -> SessionResult:
    """Train on ``data`` and register under ``name``; raises ValueError where there is no hold-out."""
    import mlflow

    from models.recommend.popularity import Popularity
    from models.recommend.sequence.session_export import write_session_model
    from models.recommend.sequence.session_model import SessionModel

    experiment_id = connect(tracking_uri, experiment, artifact_root)
    train, hold_out = split(data)
    curve: list[dict[str, float]] = []

    def told(values: Mapping[str, float]) -> None:
        curve.append(dict(values))
        if progress is not None:
            progress({"model": SessionModel.name, **values})

    started = time.monotonic()
    learned = SessionModel(config).fit(train, told)
    evaluation = evaluate(learned, hold_out)
    seconds = time.monotonic() - started
    gain = compare(evaluate(Popularity().fit(train), hold_out), evaluation, METRIC)
    model = learned.refit(data, progress)
    with (
        mlflow.start_run(experiment_id=experiment_id, run_name=SessionModel.name) as run,
        tempfile.TemporaryDirectory(prefix="soundlake-session-") as folder,
    ):
        log_data_versions(data_versions)
        mlflow.log_params({"space": model.version, "hold_out": hold_out.description})
        with log_model_run(experiment_id, evaluation, config.params(), seconds, curve):
            pass  # nothing more of it
        mlflow.log_metrics(evaluation.flat())
        mlflow.log_artifacts(str(write_session_model(model, Path(folder) / FOLDER)), FOLDER)
        version = register_files(
            name, run.info.run_id, mlflow.get_artifact_uri(FOLDER), _DESCRIPTION,
            {"space": model.version} | version_tags(data_versions),
        )  # fmt: skip
    client, promoted = mlflow.MlflowClient(), not gain.hi < 0
    verdict = {"metric": METRIC, "less popularity": str(gain), "promoted": promoted}
    client.set_model_version_tag(name, str(version), "gate.reason", json.dumps(verdict))
    if promoted:
        client.set_registered_model_alias(name, CHAMPION, str(version))
    log.info("%s version %d: %s less popularity %s", name, version, METRIC, gain)
    return SessionResult(run.info.run_id, version, model.version, evaluation, gain, promoted, seconds)


def spaces(tracking_uri: str, name: str) -> list[str]:
    """Spaces of the registered versions, the newest first."""
    import mlflow

    found = mlflow.MlflowClient(tracking_uri, tracking_uri).search_model_versions(f"name = '{name}'")
    ordered = sorted(found, key=lambda version: -int(version.version))
    return list(dict.fromkeys(version.tags["space"] for version in ordered))


def champion_session(tracking_uri: str, name: str, folder: Path):
    """The champion, fetched into ``folder``, as a :class:`SavedSession`; None where there is none yet."""
    from models.recommend.sequence.session_export import SavedSession

    number = aliased_version(tracking_uri, name, CHAMPION)
    return None if number is None else SavedSession(fetch_session(tracking_uri, name, number, folder))


def fetch_session(tracking_uri: str, name: str, number: int, folder: Path) -> Path:
    """Download a version into ``folder``; raises ValueError where its files are gone."""
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    try:
        return Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{number}", dst_path=str(folder)))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ValueError(
            f"{name} version {number}: its files are gone ({error}). Train again: soundlake run --select session_model"
        ) from error
