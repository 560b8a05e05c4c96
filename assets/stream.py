"""Streams as Dagster sees them: assets that are written from outside its runs, and the figures they report."""

import dagster as dg

from assets.describe import OWNERS, key_of
from lakehouse import delta_log
from lakehouse.contract import Table
from lakehouse.settings import Settings
from lakehouse.stream.progress import Progress
from lakehouse.tables.bronze import EVENTS
from lakehouse.tables.silver import ADS, FEEDBACK, LISTENS

TABLES = (EVENTS, LISTENS, FEEDBACK, ADS)
"""What a stream writes."""

_TEXT = {
    "kafka": "Events from the Kafka topics into bronze and silver by micro-batch, and running totals into the online "
    "store. Its observations plot lag, rate and batch time.",
    "files": "Event files into bronze and silver as they land, by micro-batch; the same ledger as `ingest`.",
}


def key_of_stream(name: str) -> dg.AssetKey:
    return dg.AssetKey(["stream", name])


STREAMS = [
    dg.AssetSpec(
        key_of_stream(name),
        description=text,
        group_name="stream",
        kinds={"spark", name if name == "kafka" else "json"},
        owners=OWNERS,
        tags={"layer": "stream", "pii": "true"},
    )
    for name, text in _TEXT.items()
]


def observation(progress: Progress) -> dg.AssetObservation:
    """The figures of a micro-batch, numbers as numbers so that the page plots them."""
    numbers = {
        "records behind": progress.behind_records,
        "seconds behind": progress.behind_seconds,
        "records per second": progress.rate,
        "batch seconds": progress.batch_seconds,
        "records": progress.records,
        "bad records in all": progress.total_bad,
        "late events in all": progress.total_late,
        "listeners active": progress.active_listeners,
        "online rows waiting": progress.online_waiting,
    }
    metadata = {**numbers, **{f"{stage} seconds": value for stage, value in progress.seconds.items()}}
    watermark = f"{progress.watermark[:19].replace('T', ' ')} UTC" if progress.watermark else "-"
    texts = {"state": progress.state, "watermark": watermark, "batch": str(progress.batch)}
    return dg.AssetObservation(key_of_stream(progress.stream), metadata={**metadata, **texts})


def materialisations(settings: Settings) -> list[dg.AssetMaterialization]:
    """The tables a stream writes, as they stand: what is made from them is then known to be older."""
    return [_materialisation(settings, table) for table in TABLES if delta_log.state(settings, table) is not None]


def _materialisation(settings: Settings, table: Table) -> dg.AssetMaterialization:
    state = delta_log.state(settings, table)
    metadata = {
        "dagster/row_count": state.rows,
        "dagster/uri": settings.table_uri(table.name),
        "Delta version": state.version,
        "bytes": state.bytes,
        "files": state.files,
    }
    return dg.AssetMaterialization(key_of(table), metadata=metadata, description="written by a stream")
