"""The job that keeps the tables in shape."""

from __future__ import annotations

import dagster as dg

maintenance = dg.define_asset_job(
    "maintenance",
    selection=dg.AssetSelection.groups("maintenance"),
    description="Retention, OPTIMIZE, VACUUM and log cleanup of every table; safe beside ingest and streams.",
)
