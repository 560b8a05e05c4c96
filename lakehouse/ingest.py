"""Raw dump to bronze: every file exactly once, every bad line to quarantine.

The order makes a kill harmless: (1) good rows, whole files in one commit, in place of rows of the same files;
(2) faults, merged by file and line; (3) the ledger ``bronze.files``, last. A file is done when the ledger has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from pyspark.accumulators import Accumulator, AccumulatorParam

from lakehouse import arrow, delta_log
from lakehouse.catalogue import ENTITIES
from lakehouse.commits import retry_conflicts
from lakehouse.contract import Table
from lakehouse.day_locks import landing_days
from lakehouse.ingest_days import DayOutOfRange, landing_day
from lakehouse.lake import Lake
from lakehouse.parse import parse, utc_now
from lakehouse.rows import CATALOGUE_SCHEMA, EVENT_SCHEMA, FAULT_SCHEMA, RawFile
from lakehouse.settings import Settings
from lakehouse.storage import Entry, Storage, storage_for
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


def list_raw(
    lake: str | Settings | Storage,
    entities: Iterable[str] | None = None,
    days: tuple[date, date] | None = None,
    skipped: Callable[[str], None] | None = None,
) -> list[Found]:
    """Raw files, oldest day first; anything that is not ``raw/<entity>/date=…/*.jsonl[.gz]`` is not a dump.

    A file in the folder of a day that does not exist is left where it lies; ``skipped`` is told of it.
    """
    if isinstance(lake, Settings):
        storage = storage_for(lake.lake, lake.s3)
    else:
        storage = storage_for(lake) if isinstance(lake, str) else lake
    found = []
    for entity in entities or ("events", *ENTITIES):
        for entry in storage.list(f"raw/{entity}"):
            dump = as_dump(entry, skipped)
            if dump and (days is None or days[0] <= dump.file.landing_date <= days[1]):
                found.append(dump)
    return sorted(found, key=lambda f: (f.file.landing_date, f.file.path))


def as_dump(entry: Entry, skipped: Callable[[str], None] | None = None) -> Found | None:
    """The raw file that ``entry`` is, None if it is not a dump; see ``list_raw``."""
    match = _PATH.match(entry.path)
    if not match or match["entity"] not in PAYLOAD_TABLE or not entry.path.endswith(_SUFFIXES):
        return None
    try:
        landed = landing_day(match["date"], entry.path)
    except DayOutOfRange as error:
        if skipped is not None:
            skipped(str(error))
        return None
    return Found(RawFile(entry.path, match["entity"], landed), entry.size, entry.version)


def read_ledger(settings: Settings) -> dict[str, str]:
    """path -> version of every file that has been ingested, without starting Spark."""
    table = delta_log.open_table(settings, FILES)
    if table is None:
        return {}
    rows = table.to_pyarrow_table(columns=["source_file", "version"]).to_pydict()
    return dict(zip(rows["source_file"], rows["version"], strict=True))


def pending(
    settings: Settings,
    days: tuple[date, date] | None = None,
    skipped: Callable[[str], None] | None = None,
) -> list[Found]:
    """Raw files that the ledger does not have, or has in another version; see ``list_raw``."""
    return _not_in(read_ledger(settings), list_raw(settings, days=days, skipped=skipped))


def _not_in(ledger: dict[str, str], files: list[Found]) -> list[Found]:
    return [f for f in files if ledger.get(f.file.path) != f.version]


def ingest(lake: Lake, days: tuple[date, date]) -> IngestResult:
    """Bring every pending raw file that landed in ``days`` (both included) into bronze."""
    return ingest_files(lake, list_raw(lake.settings, days=days))


def ingest_files(lake: Lake, files: list[Found]) -> IngestResult:
    """Bring those of ``files`` that nobody has read yet, as they lie there now, into bronze."""
    for table in (EVENTS, CATALOGUE, QUARANTINE, FILES):
        lake.ensure(table)
    wanted = _not_in(read_ledger(lake.settings), files)
    with landing_days(lake.settings, (f.file.landing_date for f in wanted)):
        ledger = read_ledger(lake.settings)  # again: another ingest may have come to its end while this one waited
        todo = _not_in(ledger, wanted)
        result = IngestResult(files=len(todo), changed_files=[f.file.path for f in todo if f.file.path in ledger])
        if todo:
            load(lake, todo, result)
    return result


def open_lines(settings: Settings) -> dict[str, int]:
    """source_file -> open quarantined lines."""
    import pyarrow.compute as pc

    try:
        rows = arrow.read(settings, QUARANTINE, ["source_file"], pc.field("status") == "open")
    except arrow.TableMissing:
        return {}
    counts = rows.group_by("source_file").aggregate([("source_file", "count")])
    return dict(zip(counts["source_file"].to_pylist(), counts["source_file_count"].to_pylist(), strict=True))


def forget_quarantined(settings: Settings) -> tuple[list[str], list[str]]:
    """Take the files of open quarantined lines out of the ledger, so that they are pending again.

    -> (paths that will be read again, paths that are gone from the raw zone). Reading them again adds the lines that
    are good now, resolves those that are gone, and changes nothing else.
    """
    wanted = set(open_lines(settings))
    lying = {f.file.path for f in list_raw(settings)}
    again = sorted(wanted & lying)
    table = delta_log.open_table(settings, FILES)
    if again and table is not None:
        quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in again)
        table.delete(f"source_file IN ({quoted})")
    return again, sorted(wanted - lying)


def load(lake: Lake, files: list[Found], result: IngestResult) -> None:
    """The three steps of the module's head for ``files``."""
    span = (min(f.file.landing_date for f in files), max(f.file.landing_date for f in files))
    counts = lake.spark.sparkContext.accumulator({}, _Counts())
    for table in dict.fromkeys(PAYLOAD_TABLE[f.file.entity] for f in files):
        wanted = [f for f in files if PAYLOAD_TABLE[f.file.entity] is table]
        rows = _rows(lake, wanted, good=True, counts=counts)
        writer = lake.conform(table, rows).write.format("delta").mode("append")
        if _is_known(lake, table, wanted, span):
            # after a kill, or when a file has changed: all rows of these files are replaced, in the same one commit
            writer = writer.mode("overwrite").option("replaceWhere", _rows_of(wanted, span))
        retry_conflicts(lambda writer=writer, table=table: writer.save(lake.uri(table)), table.name)
    _quarantine(lake, files, [f for f in files if counts.value[f.file.path][1]])
    _close(lake, files, counts.value, result)


def _is_known(lake: Lake, table: Table, files: list[Found], span: tuple[date, date]) -> bool:
    """Does the table hold a line of one of ``files`` already?"""
    import pyarrow as pa
    import pyarrow.compute as pc

    paths = pa.array([f.file.path for f in files])
    where = arrow.between("landing_date", *span) & pc.field("source_file").isin(paths)
    return arrow.dataset(lake.settings, table).head(1, columns=["line"], filter=where).num_rows > 0


def _rows_of(files: list[Found], span: tuple[date, date]) -> str:
    """SQL for the rows of ``files``."""
    paths = ", ".join("'" + f.file.path.replace("\\", "\\\\").replace("'", "\\'") + "'" for f in files)
    # Delta's replaceWhere can not take BETWEEN on Spark 4.1
    return f"landing_date >= DATE'{span[0]}' AND landing_date <= DATE'{span[1]}' AND source_file IN ({paths})"


class _Counts(AccumulatorParam):
    """path -> (good, bad) lines; a task that runs twice says the same twice."""

    def zero(self, value: dict) -> dict:
        return {}

    def addInPlace(self, left: dict, right: dict) -> dict:
        left.update(right)
        return left


def _rows(lake: Lake, files: list[Found], good: bool, counts: Accumulator | None = None) -> DataFrame:
    """Good rows or faults of ``files``, parsed in Python workers; small files share a task.

    ``counts`` learns how many of each every file has.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    entity_schema = EVENT_SCHEMA if files[0].file.entity == "events" else CATALOGUE_SCHEMA
    schema = entity_schema if good else FAULT_SCHEMA
    lake_uri, s3, key = lake.settings.lake, lake.settings.s3, lake.settings.pseudonym_key_bytes()

    def parse_files(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        storage = storage_for(lake_uri, s3)
        for batch in batches:
            for row in batch.to_pylist():
                number = [0, 0]
                with storage.open_read(row["path"]) as stream:
                    for rows, faults in parse(RawFile(row["path"], row["entity"], row["landing_date"]), stream, key):
                        number[0] += rows.num_rows if rows is not None else 0
                        number[1] += faults.num_rows if faults is not None else 0
                        chosen = rows if good else faults
                        if chosen is not None:
                            yield chosen
                if counts is not None:
                    counts.add({row["path"]: tuple(number)})

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
    if not faulty and not lake.state(QUARANTINE).rows:
        return
    was_open = lake.read(QUARANTINE).where("status = 'open'").join(paths, "source_file", "left_semi")
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


def _close(lake: Lake, files: list[Found], counts: dict[str, tuple[int, int]], result: IngestResult) -> None:
    """Write the ledger. It is the commit point of the whole: a file that is in it is never read again."""
    now = utc_now()
    rows = []
    for f in files:
        good, bad = counts[f.file.path]
        result.good[f.file.entity] = result.good.get(f.file.entity, 0) + good
        result.bad += bad
        values = (f.file.path, f.file.entity, f.file.landing_date, f.size, f.version, good, bad, now)
        rows.append(dict(zip(FILES.column_names, values, strict=True)))
    retry_conflicts(lambda: _merge_ledger(lake.settings, rows), FILES.name)


def _merge_ledger(settings: Settings, rows: list[dict]) -> None:
    import pyarrow as pa

    table = delta_log.open_table(settings, FILES)
    source = pa.Table.from_pylist(rows, schema=pa.schema(table.schema().to_arrow()))
    (
        table.merge(source, "t.source_file = s.source_file", source_alias="s", target_alias="t")
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .execute()
    )
