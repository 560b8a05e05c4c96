"""The Dagster instance of a lake: its home folder, made on first use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

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
    source = PROJECT / "dagster.yaml"
    target = home / "dagster.yaml"
    if source.exists() and (not target.exists() or target.read_bytes() != source.read_bytes()):
        shutil.copyfile(source, target)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["SOUNDLAKE_LAKE"] = settings.lake
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    return home


def instance(settings: Settings) -> DagsterInstance:
    """The lake's Dagster instance, without runs that a kill left behind."""
    from dagster import DagsterInstance

    prepare(settings)
    found = DagsterInstance.get()
    close_dead_runs(found)
    return found
