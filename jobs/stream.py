"""The job that keeps a stream running: bounded in time, started again by its sensor, alive by its figures."""

import os
import socket
import time

import dagster as dg

from assets.stream import materialisations, observation
from lakehouse.settings import Settings
from lakehouse.stream.progress import Progress
from lakehouse.stream.query import StreamOptions, run_stream

LANE, STREAM_LANE = "soundlake/lane", "stream"
"""Runs of the same lane wait for each other, see dagster.yaml; every other run is in the lane `batch`."""

TELL_SECONDS = 30.0


class StreamConfig(dg.Config):
    """``run_seconds``: the run ends between two batches after this long and the sensor starts the next."""

    source: str = "kafka"
    run_seconds: float = 6 * 3600.0
    trigger_seconds: float = 1.0
    max_per_batch: int = 50_000


class Teller:
    """Tells the run of a stream's figures, at most every TELL_SECONDS; a change of state at once."""

    def __init__(self, context: dg.OpExecutionContext):
        self._context, self._told, self._state = context, float("-inf"), ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.state == self._state and now - self._told < TELL_SECONDS:
            return
        self._told, self._state = now, progress.state
        self._context.log.info(progress.line())
        self._context.log_event(observation(progress))


@dg.op(description="Micro-batches of a stream until its time is over.", tags={"layer": "stream"})
def run_micro_batches(context: dg.OpExecutionContext, config: StreamConfig, settings: dg.ResourceParam[Settings]):
    """Logs a line and an asset observation every half minute, and what it wrote at its end."""
    options = StreamOptions(
        source=config.source,
        run_seconds=config.run_seconds,
        trigger_seconds=config.trigger_seconds,
        max_per_batch=config.max_per_batch,
    )
    # by these the run is found and closed if its process is killed
    context.instance.add_run_tags(
        context.run_id, {"soundlake/pid": str(os.getpid()), "soundlake/host": socket.gethostname()}
    )
    try:
        run_stream(settings, options, Teller(context))
    finally:
        for event in materialisations(settings):
            context.log_event(event)


@dg.job(
    tags={LANE: STREAM_LANE},
    description="Keep the Kafka stream running: bronze, silver and running totals within seconds.",
)
def stream():
    run_micro_batches()
