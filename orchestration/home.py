"""The Dagster instance of a lake: its home folder, made on first use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lakehouse.settings import Settings
from orchestration.dead_runs import close_dead_runs

if TYPE_CHECKING:
    from dagster import DagsterInstance

PROJECT = Path(__file__).resolve().parent.parent
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # a dozen idle workers for features that nothing here uses
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "GRPC_VERBOSITY": "ERROR",
}


def prepare(settings: Settings) -> Path:
    """Make DAGSTER_HOME with the project's dagster.yaml and export it; -> the folder."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    target, text = home / "dagster.yaml", instance_yaml(settings)
    if not target.exists() or target.read_text() != text:
        temporary = target.with_suffix(f".{os.getpid()}")
        temporary.write_text(text)
        temporary.replace(target)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["SOUNDLAKE_LAKE"] = settings.lake
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    if settings.s3_endpoint:  # MLflow reads artefacts on S3 by this one
        os.environ.setdefault("MLFLOW_S3_ENDPOINT_URL", settings.s3_endpoint)
    return home


def instance_yaml(settings: Settings) -> str:
    """The project's dagster.yaml; with a place on S3 for compute logs, the part that sends them there."""
    source = PROJECT / "dagster.yaml"
    text = source.read_text() if source.exists() else ""
    return text + _compute_logs(settings) if settings.compute_logs else text


def _compute_logs(settings: Settings) -> str:
    import yaml

    place = urlsplit(settings.compute_logs)
    config = {
        "bucket": place.netloc,
        "prefix": place.path.strip("/") or "compute-logs",
        "local_dir": str(settings.dagster_home / "compute_logs"),
        "skip_empty_files": True,
        "upload_interval": 30,  # seconds: what a long step prints is there before it ends
    }
    if settings.s3_endpoint:
        config["endpoint_url"] = settings.s3_endpoint
    if settings.s3_region:
        config["region"] = settings.s3_region
    manager = {"module": "dagster_aws.s3.compute_log_manager", "class": "S3ComputeLogManager", "config": config}
    return "\n" + yaml.safe_dump({"compute_logs": manager}, sort_keys=False)


def instance(settings: Settings) -> DagsterInstance:
    """The lake's Dagster instance, without runs that a kill left behind."""
    from dagster import DagsterInstance

    prepare(settings)
    found = DagsterInstance.get()
    close_dead_runs(found)
    return found
