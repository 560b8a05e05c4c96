"""Two lanes of runs: streams, and everything else. Each has a limit of its own in dagster.yaml.

A stream runs for hours; if it took the one place for runs, nothing else would start.
"""

from __future__ import annotations

from dagster import DagsterRun
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext

from jobs.stream import LANE

BATCH_LANE = "batch"


class LaneRunCoordinator(QueuedRunCoordinator):
    """The queue of runs; a run that names no lane goes into ``batch``."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        run = context.dagster_run
        if LANE not in run.tags:
            self._instance.add_run_tags(run.run_id, {LANE: BATCH_LANE})
        return super().submit_run(context)
