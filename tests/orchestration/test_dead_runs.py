"""A run whose process was killed does not block the queue for ever."""

import subprocess
import sys

import dagster as dg

from orchestration.dead_runs import HOST, PID, close_dead_runs, process_tags


@dg.job
def nothing():
    pass


def _started(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    return instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)


def test_a_run_without_its_process_is_reported_as_failed():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    with dg.DagsterInstance.ephemeral() as instance:
        dead = _started(instance, {**process_tags(), PID: str(child.pid)})
        alive = _started(instance, process_tags())
        elsewhere = _started(instance, {PID: str(child.pid), HOST: "another-machine"})
        by_daemon = _started(instance, {})
        assert close_dead_runs(instance) == [dead.run_id]
        assert instance.get_run_by_id(dead.run_id).status is dg.DagsterRunStatus.FAILURE
        for run in (alive, elsewhere, by_daemon):
            assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTED
