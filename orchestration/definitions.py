"""Everything Dagster loads: assets, checks, jobs, schedules, sensors and resources."""

from __future__ import annotations

import dagster as dg

import assets.bronze
import assets.gold
import assets.silver
from assets.checks import CHECKS
from jobs.pipeline import JOBS
from orchestration.resources import RESOURCES

defs = dg.Definitions(
    assets=[
        assets.bronze.raw_dumps,
        *dg.load_assets_from_modules([assets.bronze, assets.silver, assets.gold]),
    ],
    asset_checks=CHECKS,
    jobs=JOBS,
    resources=RESOURCES,
    executor=dg.in_process_executor,
)
