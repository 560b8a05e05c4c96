"""Runs of the command line whose process was killed: Dagster can't know, and would count them as running for ever."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance

PID, HOST = "soundlake/pid", "soundlake/host"


def process_tags() -> dict[str, str]:
    """Tags by which a run's process is found again."""
    return {PID: str(os.getpid()), HOST: socket.gethostname()}


def close_dead_runs(instance: DagsterInstance) -> list[str]:
    """Report runs of this machine that are under way without a process as failed; -> their ids."""
    from dagster import DagsterRunStatus, RunsFilter

    under_way = RunsFilter(
        statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING], tags={HOST: socket.gethostname()}
    )
    closed = []
    for run in instance.get_runs(filters=under_way):
        if not _alive(int(run.tags[PID])):
            instance.report_run_failed(run, "The process of this run was killed; `soundlake run` finishes its work.")
            closed.append(run.run_id)
    return closed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
