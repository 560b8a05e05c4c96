"""What happens to one micro-batch of records. Doing it again, whole or after a kill at any point, changes nothing:

1. running totals to the online store, first as they must be fresh, from state that is keyed by event id;
2. good records to bronze.events, one append that Delta takes once a batch number (txnAppId, txnVersion);
3. bad ones to bronze.quarantine, merged by topic, partition and offset, and to the dead-letter topic;
4. silver.listens, silver.feedback and silver.ads, merged by event id;
5. the stream's clock. Then Spark notes that the batch is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lakehouse import delta_log, small_merge
from lakehouse.commits import retry_conflicts
from lakehouse.lake import Lake
from lakehouse.refine import by_spark
from lakehouse.settings import Settings
from lakehouse.stream import totals
from lakehouse.stream.clock import ClockLog
from lakehouse.stream.dead_letters import DeadLetter, DeadLetters
from lakehouse.stream.records import coordinates, parse_records
from lakehouse.stream.refine import refine
from lakehouse.stream.stats import BatchStats
from lakehouse.stream.totals import Totals
from lakehouse.tables.bronze import EVENTS, QUARANTINE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_ROWS_PER_FILE = 100_000


class RecordBatches:
    """The ``foreachBatch`` function of a stream of records.

    ``app_id`` names the checkpoint: batch numbers count within it. ``running`` None: no online store is kept.
    """

    def __init__(
        self,
        settings: Settings,
        app_id: str,
        clocks: ClockLog,
        dead_letters: DeadLetters,
        running: Totals | None,
        on_batch: Callable[[BatchStats], None],
    ):
        self._settings, self._app_id, self._clocks = settings, app_id, clocks
        self._dead_letters, self._totals, self._on_batch = dead_letters, running, on_batch
        self._lake: Lake | None = None

    def __call__(self, records: DataFrame, batch: int) -> None:
        import pyarrow.compute as pc

        stats = BatchStats(batch)
        lake = self._lake_of(records.sparkSession)
        cores = lake.spark.sparkContext.defaultParallelism
        parsed = parse_records(records.coalesce(cores), self._settings.pseudonym_key_bytes()).persist()
        try:
            with stats.timed("parse"):
                seen = _summary(parsed)
            good = seen.filter(pc.is_valid(seen["event_id"]))
            stats.records, stats.bad = seen.num_rows, seen.num_rows - good.num_rows
            stats.count(good, good["recorded_at"], self._clocks.before(batch))
            stats.newest_record = pc.max(seen["recorded_at"]).as_py()
            with stats.timed("totals"):
                if self._totals is not None and stats.good:
                    stats.totals = self._totals.update(good, stats.clock)
            self._bronze(lake, parsed, stats)
            self._refuse(lake, parsed, stats)
            with stats.timed("silver"):
                if stats.good:
                    refine(lake, good, stats.landed[0])
            self._clocks.save(batch, stats.clock)
        finally:
            parsed.unpersist()
        self._on_batch(stats)

    def _lake_of(self, spark: SparkSession) -> Lake:
        """Spark runs the batches of one query in a session of their own, the same for all of them."""
        if self._lake is None:
            self._lake = Lake(spark, self._settings)
        return self._lake

    def _bronze(self, lake: Lake, parsed: DataFrame, stats: BatchStats) -> None:
        if not stats.good:
            return
        rows = lake.conform(EVENTS, parsed.where("reason IS NULL"))
        with stats.timed("bronze"):
            lake.ensure(EVENTS)
            append = self._append_few if stats.good <= small_merge.ROWS else self._append
            retry_conflicts(lambda: append(lake, rows, stats), EVENTS.name)

    def _append(self, lake: Lake, rows: DataFrame, stats: BatchStats) -> None:
        writer = rows.coalesce(1 + stats.good // _ROWS_PER_FILE).write.format("delta").mode("append")
        writer.option("txnAppId", self._app_id).option("txnVersion", stats.batch).save(lake.uri(EVENTS))

    def _append_few(self, lake: Lake, rows: DataFrame, stats: BatchStats) -> None:
        """As ``_append``, without the seconds of a Spark write."""
        from deltalake import CommitProperties, Transaction, write_deltalake

        table = delta_log.open_table(lake.settings, EVENTS)
        done = table.transaction_version(self._app_id)
        if done is None or done < stats.batch:
            once = CommitProperties(app_transactions=[Transaction(self._app_id, stats.batch)])
            write_deltalake(table, rows.toArrow(), mode="append", commit_properties=once)

    def _refuse(self, lake: Lake, parsed: DataFrame, stats: BatchStats) -> None:
        from pyspark.sql import functions as F

        if not stats.bad:
            return
        bad = parsed.where("reason IS NOT NULL")
        rows = bad.withColumns(
            {
                "entity": F.lit("events"),
                "status": F.lit("open"),
                "seen_at": F.col("recorded_at"),  # not the clock: the same row when the batch runs again
                "resolved_at": F.lit(None).cast("timestamp"),
            }
        )
        with stats.timed("quarantine"):
            lake.write(QUARANTINE, rows, at_most=stats.bad)
        with stats.timed("dead letters"):
            letters = bad.select("source_file", "line", "value", "reason").toLocalIterator()
            self._dead_letters.send(
                DeadLetter(*coordinates(r.source_file), r.line, bytes(r.value or b""), r.reason) for r in letters
            )


def _summary(parsed: DataFrame) -> pa.Table:
    """What the driver needs of a batch: ids, types and times, no raw text."""
    return by_spark.with_columns(parsed, (*totals.COLUMNS, "landing_date", "recorded_at")).toArrow()
