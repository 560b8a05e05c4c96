"""Asset checks from the contracts: one per property of a table, by Great Expectations; and those of the lake."""

import dagster as dg

from assets.describe import PARTITIONS, days_of, key_of
from assets.quality_checks import QUALITY_CHECKS
from assets.record import report_all
from lakehouse.contract import Table
from lakehouse.lake import Lake
from lakehouse.quality import BLOCKING, properties_of, validate
from lakehouse.quality.store import Result
from lakehouse.tables import bronze, features, gold, silver

_TITLES = {
    "not_empty": "The table has rows.",
    "complete": "No null where the contract forbids one.",
    "unique_key": "One row per key.",
    "valid_values": "Every value lies in the range or set that the contract gives.",
    "plausible_values": "Every value is one that is usual; others are kept.",
}


def checks_of(table: Table, partitioned: bool) -> dg.AssetChecksDefinition:
    """The contract's properties as one step with a check result each."""
    key = key_of(table)
    partitions = PARTITIONS if partitioned else None

    @dg.multi_asset_check(
        name=f"check_{table.layer}_{table.short_name}",
        specs=[
            dg.AssetCheckSpec(
                name, asset=key, description=_TITLES[name], blocking=BLOCKING[name], partitions_def=partitions
            )
            for name in properties_of(table)
        ],
    )
    def check(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]):
        op = context.op_execution_context
        days = days_of(op) if partitioned and (op.has_partition_key or op.has_partition_key_range) else None
        results = []
        for name, found in validate(table, lake, days).items():
            result = Result(table.name, name, found.passed, BLOCKING[name], found.text, failures=found.failures)
            failures = dg.MetadataValue.json(found.failures)
            results.append((result, {"expectations": found.expectations, "failures": failures}))
        yield from report_all(context, lake, results)

    return check


_PARTITIONED = (bronze.EVENTS, silver.LISTENS, silver.FEEDBACK, silver.ADS)
CHECKS = [
    *(checks_of(table, partitioned=True) for table in _PARTITIONED),
    *(
        checks_of(table, partitioned=False)
        for table in (*silver.TABLES, *gold.TABLES, *features.TABLES)
        if table not in _PARTITIONED
    ),
    *QUALITY_CHECKS,
]
