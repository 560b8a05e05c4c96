"""What a training writes to MLflow, under the same names every time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.evaluation.metrics import Evaluation
from models.evaluation.report import learning_curve_plot

# MLflow reads its switches from the environment: no telemetry, no progress bars in logs, and a model's requirements are
# those we name, not the whole project's.
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOG_UV_FILES": "false",
}


EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else MLflow's page opens as for language-model traces
    "mlflow.note.content": "One run a training, with a nested run for each model that was judged on the same hold-out.",
}


def connect(tracking_uri: str, experiment: str, artifact_root: str | None = None) -> str:
    """Point MLflow at the store, make the experiment when it is new, and return its id.

    Artefacts of a new experiment go below ``artifact_root`` (such as ``s3://bucket/prefix``). Without one, and with a
    SQLite store, they go beside the database; MLflow's own default would be the working directory.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    found = mlflow.get_experiment_by_name(experiment)
    if found is None:
        location = f"{artifact_root}/{experiment}" if artifact_root else None
        if location is None and tracking_uri.startswith("sqlite:///"):
            location = (Path(tracking_uri.removeprefix("sqlite:///")).resolve().parent / "artifacts").as_uri()
        return mlflow.create_experiment(experiment, artifact_location=location, tags=EXPERIMENT_TAGS)
    return found.experiment_id


def version_tags(data_versions: Mapping[str, int]) -> dict[str, str]:
    """The Delta versions read, as tags of a run or of a registered version."""
    return {f"data_version.{name}": str(version) for name, version in data_versions.items()}


def log_data_versions(data_versions: Mapping[str, int]) -> None:
    """Record the Delta versions read as tags and as dataset inputs of the active run."""
    import mlflow
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    mlflow.set_tags(version_tags(data_versions))
    for name, version in data_versions.items():
        source = DeltaDatasetSource(
            path=name, delta_table_version=int(version)
        )  # a table name would be looked up in a catalogue service
        mlflow.log_input(MetaDataset(source, name=name, digest=f"v{version}"), context="training")


@contextmanager
def log_model_run(
    experiment_id: str,
    evaluation: Evaluation,
    params: Mapping[str, object],
    fit_seconds: float,
    curve: Sequence[Mapping[str, float]] = (),
) -> Iterator[str]:
    """One nested run for one model: parameters, metrics per epoch, final metrics with intervals. It stays active, for
    more to be logged, until the block ends; gives its id."""
    import mlflow

    with mlflow.start_run(
        experiment_id=experiment_id, run_name=evaluation.model, nested=True, tags={"model": evaluation.model}
    ) as run:
        mlflow.log_params(dict(params))
        for point in curve:
            step = int(point["epoch"])
            mlflow.log_metrics({f"epoch_{name}": float(v) for name, v in point.items() if name != "epoch"}, step=step)
        mlflow.log_metrics(evaluation.flat() | {"fit_seconds": fit_seconds})
        if curve:
            log_bytes(learning_curve_plot(curve), "learning_curve.png")
        yield run.info.run_id


def log_bytes(content: bytes, name: str) -> None:
    """Store bytes as a file of the active run."""
    log_files({name: content})


def log_files(files: Mapping[str, bytes], folder: str | None = None) -> None:
    """Store files of the active run, below ``folder`` of its artefacts: what ``report.files`` makes, for one."""
    import tempfile

    import mlflow

    with tempfile.TemporaryDirectory() as temporary:
        for name, content in files.items():
            (Path(temporary) / name).write_bytes(content)
        mlflow.log_artifacts(temporary, folder)
