"""Everything Dagster loads: assets, checks, jobs, schedules, sensors and resources."""

from __future__ import annotations

import dagster as dg

import assets.bronze
import assets.features
import assets.gold
import assets.models
import assets.online
import assets.serving
import assets.silver
from assets.checks import CHECKS
from jobs.pipeline import JOBS
from orchestration.resources import RESOURCES
from orchestration.schedules import SCHEDULES
from orchestration.sensors import SENSORS

defs = dg.Definitions(
    assets=[
        assets.bronze.raw_dumps,
        *assets.features.FEATURE_ASSETS,
        *dg.load_assets_from_modules(
            [assets.bronze, assets.silver, assets.gold, assets.models, assets.online, assets.serving]
        ),
    ],
    asset_checks=[*CHECKS, assets.serving.quality_gate, assets.serving.infra_gate, assets.online.agrees_with_delta],
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=SENSORS,
    resources=RESOURCES,
    executor=dg.in_process_executor,
)
