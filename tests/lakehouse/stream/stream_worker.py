"""Runs a stream to its end and dies by SIGKILL on the way: `python stream_worker.py LAKE SERVERS PREFIX STAGE WHEN`.

STAGE is one of a micro-batch (parse, bronze, quarantine, dead letters, totals, silver, clock), WHEN before, after, or a
number of seconds after its beginning; `never` runs undisturbed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager


def die() -> None:
    """The JVM and the Python workers die with this process, as when the machine loses power."""
    os.killpg(0, signal.SIGKILL)


def set_trap(stage: str, when: str) -> None:
    from lakehouse.stream.clock import ClockLog
    from lakehouse.stream.stats import BatchStats

    if stage == "clock":
        save = ClockLog.save

        def deadly_save(log, batch, clock):
            if when == "after":
                save(log, batch, clock)
            die()

        ClockLog.save = deadly_save
        return
    timed = BatchStats.timed

    @contextmanager
    def deadly(stats, name):
        if name == stage and when == "before":
            die()
        if name == stage and when not in ("before", "after"):
            threading.Timer(float(when), die).start()
        with timed(stats, name):
            yield
        if name == stage and when == "after":
            die()

    BatchStats.timed = deadly


def main(lake: str, servers: str, prefix: str, stage: str, when: str) -> None:
    from lakehouse.settings import Settings
    from lakehouse.stream.query import StreamOptions, run_stream

    settings = Settings(
        lake=lake,
        pseudonym_key="test",
        kafka_servers=servers,
        kafka_topic_prefix=prefix,
        spark_master="local[2]",
        spark_memory="1g",
        spark_shuffle_partitions=2,
    )
    if stage != "never":
        set_trap(stage, when)
    run_stream(settings, StreamOptions(once=True, max_per_batch=90))


if __name__ == "__main__":
    main(*sys.argv[1:])
