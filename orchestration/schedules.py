"""When things run by themselves."""

from __future__ import annotations

import dagster as dg

from jobs.maintenance import maintenance
from jobs.pipeline import nightly

nightly_schedule = dg.ScheduleDefinition(
    name="nightly",
    job=nightly,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    description="Every night at 02:30 UTC: refresh silver and gold, train, let the gate decide, publish.",
)

maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance",
    job=maintenance,
    cron_schedule="15 5 * * *",
    execution_timezone="UTC",
    description="Every morning at 05:15 UTC, after the night's tables: retention, OPTIMIZE, VACUUM, log cleanup.",
)

SCHEDULES = [nightly_schedule, maintenance_schedule]
