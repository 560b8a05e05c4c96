"""Reading and writing the tables of a lake by their contracts.

Every write is idempotent: the same rows offered again, or offered again after a kill, leave the same table.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lakehouse import delta_log, in_process, small_merge
from lakehouse.commits import is_conflict, retry_conflicts
from lakehouse.contract import Table, Write
from lakehouse.delta_log import TableState
from lakehouse.evolution import evolve
from lakehouse.refine import by_spark
from lakehouse.refine.fact import APART, KNOWN_FROM, KNOWN_TO, Fact
from lakehouse.settings import Settings, get_settings
from lakehouse.tables.bronze import EVENTS

if TYPE_CHECKING:
    import deltalake
    import pyarrow as pa
    from delta.tables import DeltaTable
    from pyspark.sql import DataFrame, SparkSession


_KNOWN = (KNOWN_FROM, KNOWN_TO)
_BESIDE = (*_KNOWN, APART)


class ContractMismatch(ValueError):
    """A DataFrame does not fit the table it is written to."""


@dataclass(frozen=True)
class WriteResult:
    """What a write did; ``version`` is the Delta version after it, ``changed`` is False if there was nothing to do."""

    version: int
    inserted: int = 0
    updated: int = 0
    changed: bool = True


class Lake:
    """The tables under one lake folder, through one Spark session."""

    def __init__(self, spark: SparkSession, settings: Settings | None = None):
        self.spark = spark
        self.settings = settings or get_settings()
        self._ensured: set[str] = set()

    # ------------------------------------------------------------------ reading
    def uri(self, table: Table) -> str:
        return self.settings.table_uri(table.name)

    def read(self, table: Table, days: tuple[date, date] | None = None) -> DataFrame:
        """All rows, or those whose ``run_partition`` lies in ``days`` (both ends included)."""
        self.ensure(table)
        frame = self.spark.read.format("delta").load(self.uri(table))
        if days is None:
            return frame
        if table.run_partition is None:
            raise ContractMismatch(f"{table.name} has no run_partition, so it can't be read by day")
        return frame.where(f"{table.run_partition} BETWEEN DATE'{days[0]}' AND DATE'{days[1]}'")

    def delta(self, table: Table) -> DeltaTable:
        from delta.tables import DeltaTable

        self.ensure(table)
        return DeltaTable.forPath(self.spark, self.uri(table))

    def state(self, table: Table) -> TableState:
        self.ensure(table)
        found = delta_log.state(self.settings, table)
        assert found is not None  # just made
        return found

    def ensure(self, table: Table) -> None:
        """Create the table by its contract if it is missing; bring one that is there to the contract.

        Raises EvolutionRefused if the table can not follow it.
        """
        if table.name not in self._ensured:
            delta_log.create(self.settings, table)
            evolve(self, table)
            self._ensured.add(table.name)

    # ------------------------------------------------------------------ writing
    def conform(self, table: Table, frame: DataFrame, also: Iterable[str] = ()) -> DataFrame:
        """The declared columns in their order and types, then those of ``also``.

        Raises ContractMismatch that names a missing column.
        """
        from pyspark.sql import functions as F
        from pyspark.sql.types import StructType

        missing = [name for name in table.column_names if name not in frame.columns]
        if missing:
            raise ContractMismatch(
                f"{table.name}: the frame lacks {', '.join(missing)}; it has {', '.join(frame.columns)}"
            )
        schema = StructType.fromDDL(table.ddl())
        return frame.select(*(F.col(f.name).cast(f.dataType).alias(f.name) for f in schema), *also)

    def write(self, table: Table, rows: DataFrame | Fact, at_most: int | None = None) -> WriteResult:
        """Write ``rows`` as the contract says; ``at_most``: so many there are, if that is known without counting."""
        self.ensure(table)
        if isinstance(rows, Fact):
            return self._write_fact(table, rows)
        if table.write is Write.REPLACE:
            return self._replace(table, self.conform(table, rows))
        if table.write is Write.APPEND_ONCE:
            return self._append_once(table, self.conform(table, rows))
        return self._merge(table, rows, at_most)

    def _write_fact(self, table: Table, fact: Fact) -> WriteResult:
        if in_process.is_small(self.settings, fact):
            # too much for this process, or a rule is broken: Spark names it
            with contextlib.suppress(in_process.TooMuch, small_merge.Refused):
                # made again when another writer was first: what it wrote may be known to this fact now
                return retry_conflicts(lambda: self._merge_fact(table, fact), table.name)
        return self._merge(table, self.frame(fact), None)

    def frame(self, fact: Fact) -> DataFrame:
        """Rows of ``fact``, made by Spark: the columns of its table, KNOWN_FROM and KNOWN_TO."""
        events = self.read(EVENTS, fact.landed) if fact.events is None else fact.events
        if not hasattr(events, "sparkSession"):
            events = self.spark.createDataFrame(events)
        return by_spark.frame(fact, events, in_process.only_new(self.settings, fact))

    def _merge_fact(self, table: Table, fact: Fact) -> WriteResult:
        target = delta_log.open_table(self.settings, table)  # what others write from here on is a conflict
        assert target is not None  # ensured
        with in_process.rows(self.settings, fact) as rows:
            if small_merge.is_empty(target):
                return _load_first(table, target, rows)
            return _merge_arrow(table, target, small_merge.read_few(rows))

    def _append(self, table: Table, frame: DataFrame) -> None:
        frame.write.format("delta").mode("append").save(self.uri(table))

    def _replace(self, table: Table, frame: DataFrame) -> WriteResult:
        writer = frame.write.format("delta").mode("overwrite")
        retry_conflicts(lambda: writer.save(self.uri(table)), table.name)
        return self._result(table)

    def _append_once(self, table: Table, frame: DataFrame) -> WriteResult:
        """Rows of a source file that is already in the table are left out: one commit holds whole files only."""
        have = self.read(table).select("source_file").distinct()
        self._append(table, frame.join(have, "source_file", "left_anti").select(*table.column_names))
        return self._result(table)

    def _merge(self, table: Table, frame: DataFrame, at_most: int | None) -> WriteResult:
        """One row a key, whatever the order of arrival: the largest ``newest_by`` wins, see Fact and ``newest``.

        Only partitions that some version of a row in ``frame`` lies in are looked at.
        """
        versions = self.conform(table, frame, also=[name for name in _BESIDE if name in frame.columns])
        if at_most is not None and at_most <= small_merge.ROWS:
            with contextlib.suppress(small_merge.Refused):  # Spark names the rule that is broken
                return retry_conflicts(lambda: self._merge_few(table, versions), table.name)
        elif not self.state(table).rows and self._first_load(table, _one_a_key(table, versions)):
            return self._result(table)
        # made again when another writer was first: what it wrote may be known to this frame now
        return retry_conflicts(lambda: self._merge_versions(table, versions), table.name)

    def _merge_versions(self, table: Table, versions: DataFrame) -> WriteResult:
        versions = versions.persist()
        try:
            if versions.count() <= small_merge.ROWS:
                with contextlib.suppress(small_merge.Refused):
                    return self._merge_few(table, versions)
            self._merge_rows(table, versions)
            result = self._result(table)
            if APART in versions.columns:
                target = delta_log.open_table(self.settings, table)
                _leave_one(table, target, versions.where(APART).select(*table.key, *_KNOWN).toArrow())
            return result
        finally:
            versions.unpersist()

    def _merge_few(self, table: Table, versions: DataFrame) -> WriteResult:
        target = delta_log.open_table(self.settings, table)  # what others write from here on is a conflict
        assert target is not None  # ensured
        complete = KNOWN_FROM in versions.columns
        rows = (versions if complete else newest(versions, table.key, table.newest_by)).toArrow()
        return _merge_arrow(table, target, rows)

    def _first_load(self, table: Table, rows: DataFrame) -> bool:
        """Append to the empty table; -> False if another writer was first and nothing was written.

        Appends never conflict, so the commit takes a transaction id that only one writer of a table can have.
        """
        ours = uuid.uuid4().hex
        writer = rows.write.format("delta").mode("append")
        writer = writer.option("txnAppId", small_merge.FIRST_LOAD).option("txnVersion", 1).option("userMetadata", ours)
        try:
            writer.save(self.uri(table))
        except Exception as error:
            if not is_conflict(error):
                raise
            return False
        return delta_log.has_commit(self.settings, table, ours)

    def _merge_rows(self, table: Table, versions: DataFrame) -> None:
        from pyspark.sql import functions as F

        partition = _day_partition(table)
        condition = _matches(table, _days_of(versions, partition) if partition else [])
        merge = self.delta(table).alias("t").merge(_one_a_key(table, versions).alias("s"), F.expr(condition))
        if table.newest_by:
            merge = merge.whenMatchedUpdateAll(F.expr(_replaces(table, complete=KNOWN_FROM in versions.columns)))
        merge.whenNotMatchedInsertAll().execute()

    def _result(self, table: Table) -> WriteResult:
        metrics = delta_log.last_metrics(self.settings, table)
        inserted = metrics.get("numTargetRowsInserted") or metrics.get("numOutputRows") or 0
        return WriteResult(self.state(table).version, int(inserted), int(metrics.get("numTargetRowsUpdated") or 0))


def _load_first(table: Table, target: deltalake.DeltaTable, rows: pa.RecordBatchReader) -> WriteResult:
    inserted = small_merge.load_first(target, rows, table)
    return WriteResult(target.version(), inserted, changed=bool(inserted))


def _merge_arrow(table: Table, target: deltalake.DeltaTable, rows: pa.Table) -> WriteResult:
    """Merge ``rows``, one a key and perhaps with the columns KNOWN_FROM and KNOWN_TO, by delta-rs."""
    if not rows.num_rows:
        return WriteResult(target.version(), changed=False)
    if small_merge.is_empty(target):
        return _load_first(table, target, rows.to_reader())
    complete, partition = KNOWN_FROM in rows.column_names, _day_partition(table)
    days: Iterable[date] = ()
    if partition:
        days = small_merge.days_of(rows, *(_KNOWN if complete else (partition, partition)))
    inserted, updated = small_merge.merge_rows(
        target,
        rows.select(table.column_names),
        _matches(table, days),
        _replaces(table, complete) if table.newest_by else None,
    )
    if complete:
        _leave_one(table, target, rows.filter(rows[APART]))
    return WriteResult(target.version(), inserted, updated)


def _leave_one(table: Table, target: deltalake.DeltaTable, apart: pa.Table) -> None:
    """Of rows whose versions landed far ``apart`` earlier writes may have left one on each of two days."""
    if apart.num_rows:
        days = small_merge.days_of(apart, *_KNOWN)
        retry_conflicts(lambda: small_merge.leave_one(target, table, apart[table.key[0]], days), table.name)


def _one_a_key(table: Table, versions: DataFrame) -> DataFrame:
    if KNOWN_FROM in versions.columns:
        return versions.drop(*_BESIDE)
    return newest(versions, table.key, table.newest_by)


def _day_partition(table: Table) -> str | None:
    return next((name for name in table.partition_by if name not in table.key), None)


def _matches(table: Table, days: Iterable[date]) -> str:
    """SQL: are these rows twins? Only partitions of ``days`` are looked at, where the table has any."""
    same = " AND ".join(f"t.{name} = s.{name}" for name in table.key)
    days = ", ".join(f"DATE '{day}'" for day in sorted(days))
    return f"t.{_day_partition(table)} IN ({days}) AND {same}" if days else same


def _days_of(versions: DataFrame, partition: str) -> list[date]:
    """Days that a version lies in."""
    if KNOWN_FROM in versions.columns:
        return small_merge.days_between(versions.select(*_KNOWN).distinct().collect())
    return [row[0] for row in versions.select(partition).distinct().collect()]


def _replaces(table: Table, complete: bool) -> str:
    """SQL: does a row of the frame replace its twin? Of one moment, one that is made from all that is known does."""
    name = table.newest_by
    if not complete:
        return f"s.{name} > t.{name}"
    same = " AND ".join(f"(s.{c} IS NOT DISTINCT FROM t.{c})" for c in table.column_names if c not in table.key)
    return f"s.{name} > t.{name} OR (s.{name} = t.{name} AND NOT ({same}))"


def newest(frame: DataFrame, key: Iterable[str], newest_by: str | None) -> DataFrame:
    """One row a key, chosen without regard to the order of arrival."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    key = list(key)
    order = [F.col(newest_by).desc()] if newest_by else []
    others = [name for name in frame.columns if name not in key]
    tie = F.xxhash64(*(F.col(name).cast("string") for name in others)) if others else F.lit(0)
    window = Window.partitionBy(*key).orderBy(*order, tie)
    return frame.withColumn("_rank", F.row_number().over(window)).where("_rank = 1").drop("_rank")
