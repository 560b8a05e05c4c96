"""Landed files as a stream: Spark finds the new ones, batch's own ingest reads them.

The ledger ``bronze.files`` is the same as that of batch, so a file is read once whoever comes first. Only a path that
is new is seen here; a file that changes under its path is left to batch, which compares versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lakehouse import arrow
from lakehouse.ingest import Found, as_dump, ingest_files
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from lakehouse.storage import Storage, storage_for
from lakehouse.stream import totals
from lakehouse.stream.clock import ClockLog
from lakehouse.stream.refine import refine
from lakehouse.stream.stats import BatchStats
from lakehouse.stream.totals import Totals
from lakehouse.tables.bronze import EVENTS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

FOLDER = "raw/events"
_SCHEMA = "path string, modificationTime timestamp, length bigint, content binary"
_EVER = "3650d"


def new_files(spark: SparkSession, settings: Settings, per_batch: int) -> DataFrame:
    """A streaming frame of the paths of event files, at most ``per_batch`` in a micro-batch; nothing is read."""
    storage = storage_for(settings.lake, settings.s3)
    if not storage.exists(f"{FOLDER}/.keep"):
        storage.write_atomic(f"{FOLDER}/.keep", b"")  # Spark wants the folder to be there
    reader = spark.readStream.format("binaryFile").schema(_SCHEMA)
    reader = reader.option("recursiveFileLookup", "true").option("pathGlobFilter", "*.json*")
    # a file that was copied with its old time is as new as any other
    reader = reader.option("maxFileAge", _EVER).option("maxFilesPerTrigger", per_batch)
    return reader.load(f"{settings.lake.replace('s3://', 's3a://', 1)}/{FOLDER}").select("path")


class FileBatches:
    """The ``foreachBatch`` function of a stream of landed files; repeated, it changes nothing."""

    def __init__(
        self,
        settings: Settings,
        clocks: ClockLog,
        running: Totals | None,
        on_batch: Callable[[BatchStats], None],
    ):
        self._settings, self._clocks, self._totals, self._on_batch = settings, clocks, running, on_batch
        self._storage = storage_for(settings.lake, settings.s3)
        self._lake: Lake | None = None

    def __call__(self, paths: DataFrame, batch: int) -> None:
        stats = BatchStats(batch)
        if self._lake is None:
            self._lake = Lake(paths.sparkSession, self._settings)
        lake = self._lake
        files = find(self._storage, (self._below_lake(row.path) for row in paths.collect()))
        with stats.timed("bronze"):
            result = ingest_files(lake, files)
        events = self._events(files)
        stats.count(events, events["received_at"], self._clocks.before(batch))
        stats.bad, stats.records = result.bad, events.num_rows + result.bad
        with stats.timed("totals"):
            if self._totals is not None and stats.good:
                stats.totals = self._totals.update(events, stats.clock)
        with stats.timed("silver"):
            if stats.good:
                refine(lake, events, stats.landed[0])
        self._clocks.save(batch, stats.clock)
        self._on_batch(stats)

    def _below_lake(self, path: str) -> str:
        base = self._settings.lake.replace("s3://", "s3a://", 1)
        return path.partition(f"{base}/")[2]

    def _events(self, files: list[Found]) -> pa.Table:
        """What bronze has of ``files``, whoever brought it there."""
        days = [f.file.landing_date for f in files]
        where = arrow.text("source_file").isin([f.file.path for f in files])
        if days:
            where &= arrow.between("landing_date", min(days), max(days))
        columns = arrow.event_columns((*totals.COLUMNS, "landing_date"))
        return arrow.dataset(self._settings, EVENTS).to_table(columns=columns, filter=where)


def find(storage: Storage, paths: Iterable[str]) -> list[Found]:
    """Event dumps among ``paths`` (below the lake) as they lie there now, oldest landing day first; files in the folder
    of a day that does not exist are left to batch, which names them."""
    wanted = set(paths)
    found = []
    for folder in sorted({path.rpartition("/")[0] for path in wanted}):
        dumps = (as_dump(entry) for entry in storage.list(folder) if entry.path in wanted)
        found += [dump for dump in dumps if dump and dump.file.entity == "events"]
    return sorted(found, key=lambda f: (f.file.landing_date, f.file.path))
