"""Raw dump to bronze: every file exactly once, every bad line to quarantine.

The order makes a kill harmless: (1) good rows, whole files in one commit, leaving out files that are already there;
(2) faults, merged by file and line; (3) the ledger ``bronze.files``, last. A file counts as done when the ledger has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from pyspark.accumulators import Accumulator, AccumulatorParam

from lakehouse import delta_log
from lakehouse.catalogue import ENTITIES
from lakehouse.lake import Lake
from lakehouse.parse import CATALOGUE_SCHEMA, EVENT_SCHEMA, FAULT_SCHEMA, RawFile, parse
from lakehouse.settings import Settings
from lakehouse.storage import storage_for
from lakehouse.tables.bronze import CATALOGUE, EVENTS, FILES, QUARANTINE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_PATH = re.compile(r"^raw/(?P<entity>[a-z]+)/date=(?P<date>\d{4}-\d{2}-\d{2})/")
_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
_BIN_BYTES = 16 << 20
_FEWEST_BINS = 2

PAYLOAD_TABLE = {"events": EVENTS, **dict.fromkeys(ENTITIES, CATALOGUE)}


@dataclass(frozen=True)
class Found:
    """A raw file as it lies there now."""

    file: RawFile
    size: int
    version: str


@dataclass
class IngestResult:
    files: int = 0
    good: dict[str, int] = field(default_factory=dict)
    bad: int = 0
    changed_files: list[str] = field(default_factory=list)


def list_raw(lake_uri: str, entities: Iterable[str] | None = None, days: tuple[date, date] | None = None) -> list[Found]:
    """Raw files, oldest day first; anything that is not ``raw/<entity>/date=…/*.jsonl[.gz]`` is not a dump."""
    storage = storage_for(lake_uri)
    found = []
    for entity in entities or ("events", *ENTITIES):
        for entry in storage.list(f"raw/{entity}"):
            match = _PATH.match(entry.path)
            if not match or not entry.path.endswith(_SUFFIXES):
                continue
            landed = date.fromisoformat(match["date"])
            if days is None or days[0] <= landed <= days[1]:
                found.append(Found(RawFile(entry.path, entity, landed), entry.size, entry.version))
    return sorted(found, key=lambda f: (f.file.landing_date, f.file.path))


def read_ledger(settings: Settings) -> dict[str, str]:
    """path -> version of every file that has been ingested, without starting Spark."""
    table = delta_log.open_table(settings, FILES)
    if table is None:
        return {}
    rows = table.to_pyarrow_table(columns=["source_file", "version"]).to_pydict()
    return dict(zip(rows["source_file"], rows["version"], strict=True))


def pending(settings: Settings, days: tuple[date, date] | None = None) -> list[Found]:
    """Raw files that the ledger does not have, or has in another version."""
    ledger = read_ledger(settings)
    return [f for f in list_raw(settings.lake, days=days) if ledger.get(f.file.path) != f.version]


def ingest(lake: Lake, days: tuple[date, date]) -> IngestResult:
    """Bring every pending raw file that landed in ``days`` (both included) into bronze."""
    todo = pending(lake.settings, days)
    known = read_ledger(lake.settings)
    result = IngestResult(files=len(todo), changed_files=[f.file.path for f in todo if f.file.path in known])
    for table in (EVENTS, CATALOGUE, QUARANTINE, FILES):
        lake.ensure(table)
    if todo:
        load(lake, todo, result)
    return result


def load(lake: Lake, files: list[Found], result: IngestResult) -> None:
    """The three steps of the module's head for ``files``."""
    span = (min(f.file.landing_date for f in files), max(f.file.landing_date for f in files))
    paths = lake.spark.createDataFrame([(f.file.path,) for f in files], "source_file string")
    faulty = lake.spark.sparkContext.accumulator(set(), _SetUnion())
    for table in dict.fromkeys(PAYLOAD_TABLE[f.file.entity] for f in files):
        have = lake.read(table, span).select("source_file", "line")
        wanted = [f for f in files if PAYLOAD_TABLE[f.file.entity] is table]
        changed = set(result.changed_files)
        # a changed file adds the lines that are not there yet; an unknown one is new as a whole
        rows = _rows(lake, wanted, good=True, faulty=faulty)
        known = have.join(paths, "source_file", "left_semi")
        if changed or known.limit(1).count():
            rows = rows.join(known, ["source_file", "line"], "left_anti")
        lake.conform(table, rows).write.format("delta").mode("append").save(lake.uri(table))
    _quarantine(lake, files, [f for f in files if f.file.path in faulty.value])
    _close(lake, files, span, result)


class _SetUnion(AccumulatorParam):
    def zero(self, value: set) -> set:
        return set()

    def addInPlace(self, left: set, right: set) -> set:
        left |= right
        return left


def _rows(lake: Lake, files: list[Found], good: bool, faulty: Accumulator | None = None) -> DataFrame:
    """Good rows or faults of ``files``, parsed in Python workers; small files share a task.

    Paths of files with faults are added to ``faulty``, so that only those need the second look.
    """
    import pyarrow as pa
    from pyspark.sql.pandas.types import from_arrow_schema

    entity_schema = EVENT_SCHEMA if files[0].file.entity == "events" else CATALOGUE_SCHEMA
    schema = entity_schema if good else FAULT_SCHEMA
    lake_uri, key = lake.settings.lake, lake.settings.pseudonym_key_bytes()

    def parse_files(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        storage = storage_for(lake_uri)
        for batch in batches:
            for row in batch.to_pylist():
                with storage.open_read(row["path"]) as stream:
                    for rows, faults in parse(RawFile(row["path"], row["entity"], row["landing_date"]), stream, key):
                        if faults is not None and faulty is not None:
                            faulty.add({row["path"]})
                        chosen = rows if good else faults
                        if chosen is not None:
                            yield chosen

    bins = [[(f.file.path, f.file.entity, f.file.landing_date) for f in part] for part in pack(files)]
    rdd = lake.spark.sparkContext.parallelize(bins, len(bins)).flatMap(lambda part: part)
    names = lake.spark.createDataFrame(rdd, "path string, entity string, landing_date date")
    return names.mapInArrow(parse_files, from_arrow_schema(schema))


def pack(files: list[Found]) -> list[list[Found]]:
    """Files in bins of about 16 MiB (at least two, if there are files enough), the largest spread first."""
    total = sum(f.size for f in files)
    count = min(len(files), max(_FEWEST_BINS, -(-total // _BIN_BYTES)))
    bins: list[list[Found]] = [[] for _ in range(count)]
    for number, one in enumerate(sorted(files, key=lambda f: (-f.size, f.file.path))):
        turn, place = divmod(number, count)
        bins[place if turn % 2 == 0 else count - 1 - place].append(one)
    return bins


def _quarantine(lake: Lake, files: list[Found], faulty: list[Found]) -> None:
    """Merge the faults of the ``faulty`` files; lines of ``files`` that were open and no longer are get resolved."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    now = F.current_timestamp()
    paths = lake.spark.createDataFrame([(f.file.path,) for f in files], "source_file string")
    was_open = lake.read(QUARANTINE).where("status = 'open'").join(paths, "source_file", "left_semi")
    if not faulty and was_open.limit(1).count() == 0:
        return
    if faulty:
        faults = _rows(lake, faulty, good=False).persist()
    else:
        faults = lake.spark.createDataFrame([], from_arrow_schema(FAULT_SCHEMA))
    try:
        still = faults.select("source_file", "line", F.col("reason").alias("_reason"))
        gone = was_open.join(still, ["source_file", "line"], "left_anti")
        gone = gone.withColumns({"status": F.lit("resolved"), "resolved_at": now, "seen_at": now})
        fresh = faults.withColumns(
            {"status": F.lit("open"), "seen_at": now, "resolved_at": F.lit(None).cast("timestamp")}
        )
        same = was_open.select("source_file", "line", F.col("reason").alias("reason"))
        fresh = fresh.join(same, ["source_file", "line", "reason"], "left_anti")
        both = fresh.select(*QUARANTINE.column_names).unionByName(gone.select(*QUARANTINE.column_names))
        lake.write(QUARANTINE, both)
    finally:
        faults.unpersist()


def _close(lake: Lake, files: list[Found], span: tuple[date, date], result: IngestResult) -> None:
    """Count what bronze now holds of ``files`` and write the ledger."""
    from pyspark.sql import functions as F

    listed = lake.spark.createDataFrame(
        [(f.file.path, f.file.entity, f.file.landing_date, f.size, f.version) for f in files],
        "source_file string, entity string, landing_date date, bytes bigint, version string",
    )
    good = lake.read(EVENTS, span).select("source_file").unionByName(lake.read(CATALOGUE, span).select("source_file"))
    good = good.groupBy("source_file").agg(F.count("*").alias("good"))
    bad = lake.read(QUARANTINE).where("status = 'open'").groupBy("source_file").agg(F.count("*").alias("bad"))
    rows = listed.join(good, "source_file", "left").join(bad, "source_file", "left").na.fill(0, ["good", "bad"])
    rows = rows.withColumn("ingested_at", F.current_timestamp()).persist()
    try:
        for row in rows.groupBy("entity").agg(F.sum("good").alias("good"), F.sum("bad").alias("bad")).collect():
            result.good[row["entity"]] = row["good"]
            result.bad += row["bad"]
        lake.write(FILES, rows)
    finally:
        rows.unpersist()
