"""Bronze assets: one step reads the raw dumps of its days into four tables."""

import dagster as dg

from assets.describe import OWNERS, PARTITIONS, RETRY, SINGLE_RUN, days_of, key_of, spec_arguments
from lakehouse.ingest import ingest, list_raw
from lakehouse.lake import Lake
from lakehouse.tables.bronze import CATALOGUE, EVENTS, FILES, QUARANTINE

RAW = dg.AssetKey(["raw", "dumps"])

raw_dumps = dg.AssetSpec(
    RAW,
    description="Gzipped JSON Lines as they land: events under raw/events/date=…/hour=…, catalogue dumps under "
    "raw/tracks, raw/artists and raw/users. A sensor watches this folder.",
    group_name="raw",
    kinds={"json"},
    owners=OWNERS,
    tags={"layer": "raw", "pii": "true"},
)


@dg.multi_asset(
    name="ingest_raw_dumps",
    specs=[
        dg.AssetSpec(**spec_arguments(table), deps=[RAW]).with_io_manager_key("delta")
        for table in (EVENTS, CATALOGUE, QUARANTINE, FILES)
    ],
    partitions_def=PARTITIONS,
    backfill_policy=SINGLE_RUN,
    retry_policy=RETRY,
    can_subset=False,
)
def bronze(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]):
    """Every raw file of these days exactly once; bad lines to quarantine."""
    days = days_of(context)
    files = list_raw(lake.settings, days=days, skipped=context.log.warning)
    context.log.info(f"Raw files of {days[0]} to {days[1]}: {len(files)}")
    result = ingest(lake, days)
    for path in result.changed_files:
        context.log.warning(f"{path} changed after it had been ingested: its rows were replaced")
    if result.bad:
        context.log.warning(f"{result.bad} lines in quarantine; see them with `soundlake quarantine list`")
    events = result.good.get("events", 0)
    new_rows = {
        EVENTS: events,
        CATALOGUE: sum(result.good.values()) - events,
        QUARANTINE: result.bad,
        FILES: result.files,
    }
    for table, new in new_rows.items():
        state = lake.state(table)
        yield dg.MaterializeResult(
            asset_key=key_of(table),
            metadata={
                "dagster/row_count": state.rows,
                "new rows": new,
                "dagster/uri": lake.uri(table),
                "Delta version": state.version,
                "bytes": state.bytes,
                "files": state.files,
            },
        )
