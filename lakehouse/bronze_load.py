"""Good lines of raw files into bronze, by Python workers of Spark that parse and write where they are.

Rows that went through the JVM on their way to Parquet would cost several times what parsing them does. A worker reads a
bin of whole files and commits it with delta-rs, which keeps the table's constraints and statistics; a commit holds
whole files, so no reader sees half of one. A bin that is done twice is written once. Little is done by this process.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse import arrow, delta_log
from lakehouse.commits import retry_conflicts
from lakehouse.contract import Table
from lakehouse.lake import Lake
from lakehouse.lines import Piece, read_pieces
from lakehouse.parse import Parsed, parse_pieces
from lakehouse.rows import CATALOGUE_SCHEMA, EVENT_SCHEMA, FAULT_SCHEMA, RawFile
from lakehouse.storage import Storage, storage_for

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_BIN_BYTES = 16 << 20
HERE_BYTES = 4 << 20
"""So little, about 100,000 gzipped events, is parsed by this process before Spark's workers have begun."""

_COMMIT_RETRIES = 200
_FILE = ("path", "entity", "landing_date")
_BIN = "bin int, again boolean, path string, entity string, landing_date date"
_COUNTS = pa.schema([("path", pa.string()), ("good", pa.int64()), ("bad", pa.int64())])


@dataclass(frozen=True)
class Found:
    """A raw file as it lies there now."""

    file: RawFile
    size: int
    version: str


def write_good(lake: Lake, table: Table, files: list[Found]) -> dict[str, tuple[int, int]]:
    """Good rows of ``files`` into ``table``, in place of rows of the same files; -> path -> (good, bad) lines."""
    known = _known_paths(lake, table, files)
    again = [f for f in files if f.file.path in known]  # after a kill, or because the file has changed
    fresh = [f for f in files if f.file.path not in known]
    here = sum(f.size for f in files) <= HERE_BYTES
    cores = 1 if here else lake.spark.sparkContext.defaultParallelism
    bins = _rows([(part, False) for part in pack(fresh, cores)] + [(part, True) for part in pack(again, cores)])
    lake_uri, s3, key = lake.settings.lake, lake.settings.s3, lake.settings.pseudonym_key_bytes()
    uri, options = delta_log.uri(lake.settings, table), delta_log.storage_options(lake.settings)
    load_id, searched = uuid.uuid4().hex, tuple(table.stats_columns)

    def write(rows: Iterable[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
        storage = storage_for(lake_uri, s3)
        for number, files_of_bin in groupby(rows, lambda row: row["bin"]):
            some = list(files_of_bin)
            target = _Target(uri, options, f"ingest-{load_id}-{number}", some[0]["again"], searched)
            yield retry_conflicts(lambda target=target, some=some: target.write(storage, some, key), uri)

    def write_bins(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return write(row for batch in batches for row in batch.to_pylist())

    if here:
        counts = [row for batch in write(chain.from_iterable(bins)) for row in batch.to_pylist()]
    else:
        frame = _frame(lake, bins).mapInArrow(write_bins, "path string, good bigint, bad bigint")
        counts = [row.asDict() for row in frame.collect()]
    return {row["path"]: (row["good"], row["bad"]) for row in counts}


def faults_of(lake: Lake, files: list[Found]) -> DataFrame:
    """The bad lines of ``files``: columns of FAULT_SCHEMA."""
    from pyspark.sql.pandas.types import from_arrow_schema

    lake_uri, s3, key = lake.settings.lake, lake.settings.s3, lake.settings.pseudonym_key_bytes()

    def parse_bins(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        storage = storage_for(lake_uri, s3)
        for batch in batches:
            for _, faults in _parse(storage, batch.to_pylist(), key):
                if faults is not None:
                    yield faults

    bins = _rows([(part, False) for part in pack(files, lake.spark.sparkContext.defaultParallelism)])
    return _frame(lake, bins).mapInArrow(parse_bins, from_arrow_schema(FAULT_SCHEMA))


@dataclass(frozen=True)
class _Target:
    """Where a bin goes: ``app_id`` is the same for every try of it, ``again`` replaces rows of the same files,
    ``searched`` are the columns that keep statistics."""

    uri: str
    options: dict[str, str] | None
    app_id: str
    again: bool
    searched: tuple[str, ...]

    def write(self, storage: Storage, files: list[dict[str, Any]], key: bytes) -> pa.RecordBatch:
        """-> path, good and bad lines of each file."""
        from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction, write_deltalake

        counts = {one["path"]: [0, 0] for one in files}
        good = _counted(_parse(storage, files, key), counts)
        first = next(good, None)
        table = DeltaTable(self.uri, storage_options=self.options)
        if table.transaction_version(self.app_id) is not None:  # an earlier try was cut off behind its commit
            for _ in good:
                pass
        elif first is not None or self.again:
            schema = EVENT_SCHEMA if files[0]["entity"] == "events" else CATALOGUE_SCHEMA
            write_deltalake(
                table,
                pa.RecordBatchReader.from_batches(schema, chain([first] if first is not None else [], good)),
                mode="overwrite" if self.again else "append",
                predicate=_rows_of(files) if self.again else None,
                writer_properties=delta_log.parquet(schema.names, self.searched),
                commit_properties=CommitProperties(
                    max_commit_retries=_COMMIT_RETRIES, app_transactions=[Transaction(self.app_id, 1)]
                ),
                post_commithook_properties=PostCommitHookProperties(
                    create_checkpoint=False, cleanup_expired_logs=False
                ),
            )
        rows = [{"path": path, "good": both[0], "bad": both[1]} for path, both in counts.items()]
        return pa.RecordBatch.from_pylist(rows, schema=_COUNTS)


def _counted(parsed: Iterable[Parsed], counts: dict[str, list[int]]) -> Iterator[pa.RecordBatch]:
    """The good batches, while ``counts`` learns of both kinds."""
    for both in parsed:
        for place, rows in enumerate(both):
            for one in rows["source_file"].value_counts().to_pylist() if rows is not None else ():
                counts[one["values"]][place] += one["counts"]
        if both[0] is not None:
            yield both[0]


def _parse(storage: Storage, files: list[dict[str, Any]], key: bytes) -> Iterator[Parsed]:
    """Good rows and faults of ``files``; those of one day share batches: twenty thousand files of fifty lines are not
    twenty thousand batches."""

    def pieces(some: Iterable[dict]) -> Iterator[Piece]:
        for one in some:
            with storage.open_read(one["path"]) as stream:
                yield from read_pieces(stream, one["path"])

    def day(one: dict) -> tuple:
        return one["entity"], one["landing_date"]

    for (entity, landed), some in groupby(sorted(files, key=day), day):
        yield from parse_pieces(RawFile("", entity, landed), pieces(some), key)


def _rows_of(files: list[dict[str, Any]]) -> str:
    """SQL for the rows of ``files``."""
    days = ", ".join(sorted({f"CAST('{one['landing_date']}' AS DATE)" for one in files}))
    paths = ", ".join("'" + one["path"].replace("'", "''") + "'" for one in files)
    return f"landing_date IN ({days}) AND source_file IN ({paths})"


def _known_paths(lake: Lake, table: Table, files: list[Found]) -> set[str]:
    """Those of ``files`` that the table holds lines of already."""
    days = [f.file.landing_date for f in files]
    paths = arrow.text("source_file").isin(pa.array([f.file.path for f in files]))
    where = arrow.between("landing_date", min(days), max(days)) & paths
    return set(arrow.read(lake.settings, table, ["source_file"], where)["source_file"].unique().to_pylist())


def _rows(bins: list[tuple[list[Found], bool]]) -> list[list[dict[str, Any]]]:
    """Bins of rows, a row a file."""
    return [
        [{"bin": number, "again": again, **{name: getattr(f.file, name) for name in _FILE}} for f in part]
        for number, (part, again) in enumerate(bins)
    ]


def _frame(lake: Lake, bins: list[list[dict[str, Any]]]) -> DataFrame:
    """A bin is a task."""
    rdd = lake.spark.sparkContext.parallelize(bins, len(bins)).flatMap(lambda part: part)
    return lake.spark.createDataFrame(rdd, _BIN)


def pack(files: list[Found], cores: int) -> list[list[Found]]:
    """Files in bins of at most about 16 MiB, in the order of their days; as many for each core, if there are enough.

    A bin holds few days and a day is in few bins: each bin writes a file for every day it holds.
    """
    if not files:
        return []
    ordered = sorted(files, key=lambda f: (f.file.landing_date, f.file.path))
    rounds = max(1, -(-sum(f.size for f in files) // (_BIN_BYTES * cores)))
    count = min(len(files), rounds * cores)
    middles, so_far = [], 0.0
    for one in ordered:
        middles.append(so_far + (one.size + 1) / 2)
        so_far += one.size + 1  # an empty file is a file
    bins: dict[int, list[Found]] = {}
    for one, middle in zip(ordered, middles, strict=True):
        bins.setdefault(int(middle * count / so_far), []).append(one)
    return list(bins.values())
