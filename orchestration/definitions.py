"""Everything Dagster loads: assets, checks, jobs, schedules, sensors and resources."""

from __future__ import annotations

import dagster as dg

import assets.activity
import assets.bronze
import assets.compression
import assets.drift
import assets.features
import assets.gold
import assets.maintenance
import assets.memory
import assets.models
import assets.online
import assets.retrieval
import assets.serving
import assets.silver
import assets.stream
import assets.tuning
from assets.checks import CHECKS
from jobs.maintenance import maintenance
from jobs.pipeline import JOBS
from jobs.stream import stream
from orchestration.resources import RESOURCES
from orchestration.schedules import SCHEDULES
from orchestration.sensors import SENSORS
from orchestration.stream_sensor import keep_streaming

defs = dg.Definitions(
    assets=[
        assets.bronze.raw_dumps,
        assets.maintenance.maintained_tables,
        *assets.features.FEATURE_ASSETS,
        *assets.stream.STREAMS,
        *dg.load_assets_from_modules(
            [
                assets.bronze,
                assets.silver,
                assets.gold,
                assets.models,
                assets.compression,
                assets.activity,
                assets.tuning,
                assets.memory,
                assets.drift,
                assets.online,
                assets.serving,
                assets.retrieval,
            ]
        ),
    ],
    asset_checks=[
        *CHECKS,
        assets.memory.vectors_are_finite,
        assets.memory.not_of_the_future,
        assets.serving.quality_gate,
        assets.serving.infra_gate,
        assets.retrieval.finds_the_nearest,
        assets.online.agrees_with_delta,
    ],
    jobs=[*JOBS, stream, maintenance],
    schedules=SCHEDULES,
    sensors=[*SENSORS, keep_streaming],
    resources=RESOURCES,
    executor=dg.in_process_executor,
)
