"""Raw dump to bronze: every file exactly once, every bad line to quarantine.

The order makes a kill harmless: (1) good rows, whole files in a commit, in place of rows of the same files;
(2) faults, merged by file and line; (3) the ledger ``bronze.files``, last. A file is done when the ledger has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date

from lakehouse import arrow, delta_log
from lakehouse.bronze_load import Found, faults_of, write_good
from lakehouse.catalogue import ENTITIES
from lakehouse.commits import retry_conflicts
from lakehouse.day_locks import landing_days
from lakehouse.ingest_days import DayOutOfRange, landing_day
from lakehouse.lake import Lake
from lakehouse.parse import utc_now
from lakehouse.rows import FAULT_SCHEMA, RawFile
from lakehouse.settings import Settings
from lakehouse.storage import Entry, Storage, storage_for
from lakehouse.tables.bronze import CATALOGUE, EVENTS, FILES, QUARANTINE

_PATH = re.compile(r"^raw/(?P<entity>[a-z]+)/date=(?P<date>\d{4}-\d{2}-\d{2})/")
_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz")

PAYLOAD_TABLE = {"events": EVENTS, **dict.fromkeys(ENTITIES, CATALOGUE)}


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
    try:
        rows = arrow.read(settings, QUARANTINE, ["source_file"], arrow.text("status") == "open")
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
    counts: dict[str, tuple[int, int]] = {}
    for table in dict.fromkeys(PAYLOAD_TABLE[f.file.entity] for f in files):
        counts |= write_good(lake, table, [f for f in files if PAYLOAD_TABLE[f.file.entity] is table])
    _quarantine(lake, files, [f for f in files if counts[f.file.path][1]])
    _close(lake, files, counts, result)


def _quarantine(lake: Lake, files: list[Found], faulty: list[Found]) -> None:
    """Merge the faults of the ``faulty`` files; lines of ``files`` that were open and no longer are get resolved."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    if not faulty and not lake.state(QUARANTINE).rows:  # nothing for Spark to do
        return
    now = F.current_timestamp()
    paths = lake.spark.createDataFrame([(f.file.path,) for f in files], "source_file string")
    was_open = lake.read(QUARANTINE).where("status = 'open'").join(paths, "source_file", "left_semi")
    if faulty:
        faults = faults_of(lake, faulty).persist()
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
