"""What Dagster shows of a table, taken from its contract."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from lakehouse.contract import Sensitivity, Table
from lakehouse.ingest_days import FIRST_DAY

OWNERS = ["team:data-platform"]
PARTITIONS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), end_offset=1)
"""By landing date, today included."""

SINGLE_RUN = dg.BackfillPolicy.single_run()
WHEN_PARENTS_CHANGE = dg.AutomationCondition.eager().without(~dg.AutomationCondition.any_deps_missing())
"""Eager, though most days of a partitioned parent never had a dump."""

DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30))
RETRY = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


def key_of(table: Table) -> dg.AssetKey:
    return dg.AssetKey([table.layer, table.short_name])


def column_schema(table: Table) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=c.name,
                type=c.type,
                description=c.description,
                tags={} if c.sensitivity is Sensitivity.NONE else {"pii": c.sensitivity.value},
                constraints=dg.TableColumnConstraints(
                    nullable=c.nullable,
                    unique=table.key == (c.name,),
                    other=[c.check.text] if c.check else [],
                ),
            )
            for c in table.columns
        ]
    )


def spec_arguments(table: Table) -> dict[str, Any]:
    """Arguments that an AssetSpec and an @asset of this table share."""
    tags = {"layer": table.layer, "domain": "listening"}
    if table.has_personal_data:
        tags["pii"] = "true"
    partitioning = ", by ".join(["", *table.partition_by])[2:]
    return {
        "key": key_of(table),
        "description": table.description,
        "group_name": table.layer,
        "kinds": {"spark", "deltalake"},
        "owners": OWNERS,
        "tags": tags,
        "metadata": {
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
            "key": ", ".join(table.key),
            "write": table.write.value,
            **({"files partitioned": partitioning} if partitioning else {}),
            **({"retention": f"{table.retention_days} days"} if table.retention_days else {}),
        },
        "code_version": "1",
    }


def asset_arguments(table: Table, partitioned: bool = False) -> dict[str, Any]:
    """Arguments of an @asset that returns the frame of ``table`` for the Delta IO manager to write."""
    arguments = {**spec_arguments(table), "io_manager_key": "delta", "retry_policy": RETRY}
    if partitioned:
        arguments |= {"partitions_def": PARTITIONS, "backfill_policy": SINGLE_RUN}
    else:
        arguments |= {"automation_condition": WHEN_PARENTS_CHANGE, "freshness_policy": DAILY}
    return arguments


def days_of(context: Any) -> tuple[date, date]:
    """First and last day (both included) of the partitions of this run."""
    window = context.partition_time_window
    last: datetime = window.end - timedelta(seconds=1)
    return window.start.date(), last.date()
