"""Keeps the stream of a broker running: starts the job `stream` when none runs."""

import dagster as dg

from jobs.stream import stream
from lakehouse.settings import get_settings
from lakehouse.stream.lock import is_running
from orchestration.dead_runs import close_dead_runs
from orchestration.sensors import UNDER_WAY


@dg.sensor(
    job=stream,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Where SOUNDLAKE_KAFKA_SERVERS is set and no stream of the lake runs: start one.",
)
def keep_streaming(context: dg.SensorEvaluationContext):
    settings = get_settings()
    if not settings.kafka_servers:
        return dg.SkipReason("SOUNDLAKE_KAFKA_SERVERS is not set: there is no broker to read.")
    if is_running(settings, "kafka"):
        return dg.SkipReason("The stream runs.")
    close_dead_runs(context.instance)
    under_way = context.instance.get_runs(dg.RunsFilter(job_name=stream.name, statuses=UNDER_WAY), limit=1)
    if under_way:
        return dg.SkipReason(f"Run {under_way[0].run_id} is about to start or to end.")
    return dg.RunRequest(tags={"soundlake/kafka": settings.kafka_servers})
