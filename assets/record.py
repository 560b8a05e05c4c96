"""A check's result, three times: for Dagster as a whole, for each of its days, and for the quality page.

Dagster plans a partitioned check once a day of the run's range, but takes a result of a range run for no day at all:
the days stay planned and its pages call them "Skipped". So every day gets its evaluation as well, the last DAYS of a
long range: each costs an event of the run's log.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.describe import days_of
from lakehouse.lake import Lake
from lakehouse.quality.store import Result, record

DAYS = 31


def report(
    context: dg.AssetCheckExecutionContext, lake: Lake, result: Result, metadata: Mapping[str, Any]
) -> Iterator[dg.AssetCheckResult | dg.AssetCheckEvaluation]:
    """One result; see ``report_all``."""
    yield from report_all(context, lake, [(result, metadata)])


def report_all(
    context: dg.AssetCheckExecutionContext, lake: Lake, results: list[tuple[Result, Mapping[str, Any]]]
) -> Iterator[dg.AssetCheckResult | dg.AssetCheckEvaluation]:
    """Keep the results, make the quality page anew, and yield what Dagster is to know."""
    op = context.op_execution_context
    days: list[str] = []
    if op.has_partition_key_range:
        first, last = days_of(op)
        days = [(first + timedelta(n)).isoformat() for n in range((last - first).days + 1)]
    span = f"{days[0]} to {days[-1]}" if days else ""
    page = record(lake.settings, [replace(r, run_id=context.run.run_id, days=r.days or span) for r, _ in results])
    for result, metadata in results:
        common = {
            "asset_key": dg.AssetKey(result.table.split(".")),
            "check_name": result.check,
            "passed": result.passed,
            "description": result.text,
            "severity": dg.AssetCheckSeverity.ERROR if result.blocking else dg.AssetCheckSeverity.WARN,
        }
        yield dg.AssetCheckResult(**common, metadata={**metadata, "quality page": dg.MetadataValue.path(str(page))})
        for day in days[-DAYS:]:
            yield dg.AssetCheckEvaluation(**common, metadata={}, blocking=result.blocking, partition=day)
