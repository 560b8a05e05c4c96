"""When things run: definitions, resources, schedules, sensors and the command line."""

import warnings

# Backfill policies, freshness and partitioned checks are still marked so in Dagster 1.13; we pin that version.
warnings.filterwarnings("ignore", message=r"(?s).*is currently in (beta|preview)")
