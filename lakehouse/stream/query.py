"""Run a stream: one Structured Streaming query, its checkpoint on the lake, its progress, and its restarts."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse.settings import Settings
from lakehouse.storage import Storage, storage_for
from lakehouse.stream.clock import DELAY, ClockLog
from lakehouse.stream.errors import (
    BrokerUnreachable,
    FiguresFailed,
    StreamError,
    is_broker_away,
    is_data_lost,
    is_figures_failure,
)
from lakehouse.stream.lock import only_one
from lakehouse.stream.outage import Outage
from lakehouse.stream.progress import Progress
from lakehouse.stream.reporter import Reporter
from lakehouse.stream.topics import Topics, ensure_topics

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

    from lakehouse.stream.totals import Totals

KAFKA, FILES = "kafka", "files"
_POLL_SECONDS = 0.5
_STOP_SECONDS = 60


@dataclass(frozen=True)
class StreamOptions:
    """How to run a stream.

    ``source``: "kafka" or "files"; ``once``: end when what is there now is done; ``max_per_batch``: records (or files)
    of a micro-batch at most; ``trigger_seconds``: from one batch to the next at least; ``run_seconds``: end after
    so long, but not before a first look at the source; ``patience_seconds``: how long a broker may be away;
    ``delay``: of the watermark; ``online``: keep the running totals.
    """

    source: str = KAFKA
    once: bool = False
    max_per_batch: int | None = None
    trigger_seconds: float = 1.0
    run_seconds: float | None = None
    patience_seconds: float = 900.0
    delay: timedelta = DELAY
    online: bool = True

    @property
    def per_batch(self) -> int:
        return self.max_per_batch or (50_000 if self.source == KAFKA else 200)


def checkpoint_of(stream: str) -> str:
    """Folder of a stream's checkpoint below the lake."""
    return f"_checkpoints/{stream}"


def run_stream(
    settings: Settings,
    options: StreamOptions,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    stop: threading.Event | None = None,
) -> Progress:
    """Run until ``stop`` is set, the time is over, or (``once``) all is done; -> the last progress.

    A broker that goes away is waited for. Raises StreamError, with what to do, for anything else that ends a stream.
    """
    if options.source not in (KAFKA, FILES):
        raise StreamError(f"--source {options.source!r}: give kafka or files")
    if options.source == KAFKA and not settings.kafka_servers:
        raise StreamError("no broker is set: SOUNDLAKE_KAFKA_SERVERS=host:9092 soundlake stream --source kafka")
    with only_one(settings, options.source):
        runner = _Runner(settings, options, Reporter(settings, options.source, on_progress), stop or threading.Event())
        return runner.run()


class _Runner:
    def __init__(self, settings: Settings, options: StreamOptions, reporter: Reporter, stop: threading.Event):
        self._settings, self._options, self._reporter, self._stop = settings, options, reporter, stop
        self._storage = storage_for(settings.lake, settings.s3)
        self._folder = checkpoint_of(options.source)
        self._ends = time.monotonic() + options.run_seconds if options.run_seconds else None

    def run(self) -> Progress:
        from lakehouse.spark import get_spark

        spark = get_spark(self._settings)
        outage = Outage(self._options.patience_seconds)
        with self._totals() as totals:
            while True:
                try:
                    self._run_once(spark, totals, outage)
                    return self._reporter.state("stopped")
                except FiguresFailed:
                    continue  # at most once a start: the next query has no unfinished batch before it
                except BrokerUnreachable as error:
                    if not self._sit_out(outage, error):
                        return self._reporter.state("stopped")
                except Exception as error:
                    self._reporter.state("failed", (str(error) or type(error).__name__).splitlines()[0])
                    raise
                except BaseException:  # Dagster stops a run by an interrupt
                    self._reporter.state("stopped", "interrupted")
                    raise

    def _sit_out(self, outage: Outage, error: BrokerUnreachable) -> bool:
        """Wait until it is time to try again; -> False if the stream is to end. Raises when patience is at its end."""
        wait = outage.next_wait()
        if wait is None:
            minutes = self._options.patience_seconds / 60
            gone = BrokerUnreachable(
                f"{error} (for {minutes:g} minutes now; --patience waits longer). Nothing is lost: start the stream "
                "again when the broker is back, and it goes on where it was"
            )
            self._reporter.state("failed", str(gone))
            raise gone from error
        self._reporter.state("waiting", f"{error}; trying again in {wait:.0f} s")
        return not self._stop.wait(wait) and not self._time_is_over()

    def _time_is_over(self) -> bool:
        return self._ends is not None and time.monotonic() > self._ends

    @contextmanager
    def _totals(self) -> Iterator[Totals | None]:
        if not self._options.online:
            yield None
            return
        from lakehouse.online.store import open_store
        from lakehouse.stream.totals import Totals

        with open_store(self._settings) as store:
            totals = Totals(store)
            clock = self._clocks().latest()
            totals.restore(self._settings, clock)
            yield totals

    def _clocks(self) -> ClockLog:
        return ClockLog(self._storage, self._folder, self._options.delay)

    def _run_once(self, spark: SparkSession, totals: Totals | None, outage: Outage) -> None:
        query = self._start(spark, totals)
        self._reporter.begin(query)
        try:
            while not query.awaitTermination(_POLL_SECONDS):
                reached = self._look(query, outage)
                if self._stop.is_set() or (reached and self._time_is_over()):
                    _stop_between_batches(query)
                    break
            self._look(query, outage)
        except Exception as error:
            self._look(query, outage)
            raise _explained(error, self._settings, self._folder) from error
        finally:
            query.stop()

    def _look(self, query: StreamingQuery, outage: Outage) -> bool:
        """Report what is new; -> has the query reached its source? That ends an outage, with or without records."""
        reached = self._reporter.look(query)
        if reached:
            outage.over()
        return reached

    def _start(self, spark: SparkSession, totals: Totals | None) -> StreamingQuery:
        frame, function = self._source(spark, totals)
        checkpoint = f"{self._settings.lake.replace('s3://', 's3a://', 1)}/{self._folder}/spark"
        writer = frame.writeStream.queryName(f"soundlake {self._options.source}").foreachBatch(function)
        writer = writer.option("checkpointLocation", checkpoint)
        if self._options.once:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{self._options.trigger_seconds} seconds")
        return writer.start()

    def _source(self, spark: SparkSession, totals: Totals | None) -> tuple[DataFrame, Callable]:
        if self._options.source == FILES:
            from lakehouse.stream.files import FileBatches, new_files

            function = FileBatches(self._settings, self._clocks(), totals, self._reporter.batch_done)
            return new_files(spark, self._settings, self._options.per_batch), function
        from lakehouse.stream.batch import RecordBatches
        from lakehouse.stream.dead_letters import DeadLetters

        servers = self._settings.kafka_servers
        topics = Topics(self._settings.kafka_topic_prefix)
        partitions = ensure_topics(servers, topics)
        letters = DeadLetters(servers, topics.dead_letter)
        app_id = _app_id(self._storage, self._folder)
        function = RecordBatches(self._settings, app_id, self._clocks(), letters, totals, self._reporter.batch_done)
        return self._records(spark, partitions), function

    def _records(self, spark: SparkSession, partitions: dict[str, int]) -> DataFrame:
        from lakehouse.stream.offsets import starting_offsets

        known = any(True for _ in self._storage.list(f"{self._folder}/spark/offsets"))
        reader = spark.readStream.format("kafka")
        reader = reader.option("kafka.bootstrap.servers", self._settings.kafka_servers)
        reader = reader.option("subscribe", ",".join(sorted(partitions)))
        reader = reader.option("startingOffsets", "earliest" if known else starting_offsets(self._settings, partitions))
        reader = reader.option("maxOffsetsPerTrigger", self._options.per_batch).option("failOnDataLoss", "true")
        # a broker that is away is noticed, and waited for by us, before Spark's tasks give up
        reader = reader.option("kafka.request.timeout.ms", 15_000).option("kafka.default.api.timeout.ms", 20_000)
        return reader.option("kafkaConsumer.pollTimeoutMs", 60_000).load()


def _stop_between_batches(query: StreamingQuery) -> None:
    """A batch under way is given time to end; one that is cut off runs again at the next start."""
    deadline = time.monotonic() + _STOP_SECONDS
    while query.isActive and query.status["isTriggerActive"] and time.monotonic() < deadline:
        time.sleep(0.05)
    query.stop()


def _app_id(storage: Storage, folder: str) -> str:
    """The name under which Delta counts this checkpoint's batches: made with the checkpoint, gone with it."""
    path = f"{folder}/stream.json"
    if storage.exists(path):
        with storage.open_read(path) as stream:
            return json.load(stream)["app_id"]
    app_id = f"soundlake/{folder.rpartition('/')[2]}/{uuid.uuid4().hex}"
    storage.write_atomic(path, json.dumps({"app_id": app_id}).encode())
    return app_id


def _explained(error: Exception, settings: Settings, folder: str) -> Exception:
    text = f"{error}\n{getattr(error, '_stackTrace', None) or ''}"  # the cause is named in the JVM's trace only
    if is_figures_failure(text):
        return FiguresFailed(text)
    if is_data_lost(text):
        return StreamError(
            "the broker deleted records before they were read (retention), or the topic was made again. What bronze "
            f"has stays. To go on with what the broker has now, remove {settings.lake}/{folder} and start again: "
            "the stream then begins behind the last record in bronze that the broker still has"
        )
    if is_broker_away(text):
        return BrokerUnreachable(f"no Kafka broker answers at {settings.kafka_servers}")
    return error
