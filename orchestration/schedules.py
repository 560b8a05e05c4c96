"""When things run by themselves."""

from __future__ import annotations

import dagster as dg

from jobs.pipeline import nightly

nightly_schedule = dg.ScheduleDefinition(
    name="nightly",
    job=nightly,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    description="Every night at 02:30 UTC: refresh silver and gold, train, let the gate decide, publish.",
)

SCHEDULES = [nightly_schedule]
