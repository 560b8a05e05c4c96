"""Raw dump to bronze and silver listens, beside plain Spark reading the same files into Parquet without any check."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks.report import Row

START = date(2026, 1, 1)


def measure_ingest(users: int, days: int, runs: int) -> list[Row]:
    from lakehouse.settings import Settings
    from lakehouse.sources import RawWriter
    from lakehouse.spark import get_spark
    from simulation import simulate

    ours, plain = [], []
    with tempfile.TemporaryDirectory(prefix="soundlake-bench-") as folder:
        world = Path(folder) / "world"
        with RawWriter(str(world), "simulation") as writer:
            events = simulate(writer, users=users, tracks=2 * users, days=days, start=START).events
        spark = get_spark()
        last = START + timedelta(days=days + 3)
        for turn in range(runs + 1):  # the first warms the JVM and is not counted
            lake = Path(folder) / f"lake{turn}"
            lake.mkdir()
            (lake / "raw").symlink_to(world / "raw")
            settings = Settings(lake=str(lake), pseudonym_key="bench")
            a, b = _ours(spark, settings, (START, last)), _plain(spark, world, lake / "parquet")
            if turn:
                ours.append(events / a)
                plain.append(events / b)
            shutil.rmtree(lake)
    what = f"gz JSONL → bronze + silver.listens, validated, {events:,} events"
    beside = "Spark read.json with schema → dropDuplicates → Parquet"
    return [Row(what, "events/s", statistics.median(ours), beside, statistics.median(plain))]


def _ours(spark, settings, span) -> float:
    from lakehouse.ingest import ingest
    from lakehouse.lake import Lake
    from lakehouse.refine.events import landed, listens
    from lakehouse.tables.bronze import EVENTS
    from lakehouse.tables.silver import LISTENS

    start = time.perf_counter()
    lake = Lake(spark, settings)
    ingest(lake, span)
    lake.write(LISTENS, listens(lake.read(EVENTS, span), landed(span)))
    return time.perf_counter() - start


def _plain(spark, world: Path, out: Path) -> float:
    schema = (
        "event_id string, event_type string, user_id string, occurred_at timestamp, received_at timestamp, "
        "device struct<type: string>, context struct<country: string, utc_offset_min: int, activity: string>, "
        "payload struct<track_id: string, ms_played: bigint, duration_ms: bigint, reason_end: string>"
    )
    start = time.perf_counter()
    frame = spark.read.schema(schema).json(str(world / "raw" / "events"))
    frame.dropDuplicates(["event_id"]).write.parquet(str(out))
    return time.perf_counter() - start
