"""Asset checks from the contracts: one per property of a table, run by Great Expectations; and the quarantine count."""

import dagster as dg

from assets.describe import PARTITIONS, days_of, key_of
from lakehouse.contract import Table
from lakehouse.lake import Lake
from lakehouse.quality import BLOCKING, properties_of, validate
from lakehouse.tables import bronze, features, gold, silver

QUARANTINE_SHARE = 0.01
"""More bad lines than this share of all lines is worth a warning even when every one of them has a reason."""

_TITLES = {
    "not_empty": "The table has rows.",
    "complete": "No null where the contract forbids one.",
    "unique_key": "One row per key.",
    "valid_values": "Every value lies in the range or set that the contract gives.",
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
        for name, result in validate(table, lake, days).items():
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=name,
                passed=result.passed,
                severity=dg.AssetCheckSeverity.ERROR if BLOCKING[name] else dg.AssetCheckSeverity.WARN,
                description=result.text,
                metadata={"expectations": result.expectations, "failures": dg.MetadataValue.json(result.failures)},
            )

    return check


@dg.asset_check(asset=key_of(bronze.QUARANTINE), name="quarantine_share", partitions_def=PARTITIONS)
def quarantine_share(lake: dg.ResourceParam[Lake]) -> dg.AssetCheckResult:
    """How many raw lines could not be used, by reason, in the whole lake."""
    from pyspark.sql import functions as F

    frame = lake.read(bronze.QUARANTINE).where("status = 'open'")
    reason = F.regexp_replace("reason", "[:-].*$", "")
    reasons = {r["reason"]: r["count"] for r in frame.groupBy(reason.alias("reason")).count().collect()}
    bad, good = sum(reasons.values()), lake.state(bronze.EVENTS).rows + lake.state(bronze.CATALOGUE).rows
    share = bad / (bad + good) if bad else 0.0
    return dg.AssetCheckResult(
        passed=share <= QUARANTINE_SHARE,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{bad} lines in quarantine ({share:.2%}); `soundlake quarantine list` shows them",
        metadata={"lines": bad, "share": share, "reasons": dg.MetadataValue.json(reasons)},
    )


_PARTITIONED = (bronze.EVENTS, silver.LISTENS, silver.FEEDBACK, silver.ADS)
CHECKS = [
    *(checks_of(table, partitioned=True) for table in _PARTITIONED),
    *(
        checks_of(table, partitioned=False)
        for table in (*silver.TABLES, *gold.TABLES, *features.TABLES)
        if table not in _PARTITIONED
    ),
    quarantine_share,
]
