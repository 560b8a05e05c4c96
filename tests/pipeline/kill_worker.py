"""Runs the job `ingest` on a lake and dies by SIGKILL at a given moment: `python kill_worker.py MOMENT LAKE`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path


def die() -> None:
    """Everything this process started dies with it, the JVM too, as when the machine loses power."""
    os.killpg(0, signal.SIGKILL)


def in_a_python_worker(_lake: Path) -> None:
    from pyspark.sql.classic.dataframe import DataFrame

    from lakehouse import bronze_load

    bronze_load.HERE_BYTES = -1
    group, real = os.getpgid(0), DataFrame.mapInArrow

    def map_in_arrow(frame, function, schema):
        def deadly(batches):
            for rows in function(batches):
                yield rows
                os.killpg(group, signal.SIGKILL)

        return real(frame, deadly, schema)

    DataFrame.mapInArrow = map_in_arrow


def before_the_ledger(_lake: Path) -> None:
    from lakehouse import ingest

    ingest._close = lambda *_: die()


def between_files_and_commit_of_a_merge(lake: Path) -> None:
    """Dies when the first new data file of silver.listens lies there: Delta commits when all of them do."""
    from lakehouse import in_process, small_merge
    from lakehouse.lake import Lake

    in_process.is_small = lambda *_: False  # Spark's merge: it takes long enough to be caught between the two
    small_merge.ROWS = 0
    real, folder = Lake._merge, lake / "silver" / "listens"

    def merge(self, table, *rest):
        if table.name == "silver.listens":
            before = set(folder.rglob("*.parquet"))
            threading.Thread(target=watch, args=(before,), daemon=True).start()
        return real(self, table, *rest)

    def watch(before: set[Path]) -> None:
        while set(folder.rglob("*.parquet")) <= before:
            pass
        die()

    Lake._merge = merge


def between_the_ledger_and_silver(_lake: Path) -> None:
    from lakehouse.lake import Lake

    real = Lake.write
    Lake.write = lambda self, table, *rest: die() if table.layer == "silver" else real(self, table, *rest)


MOMENTS = {
    f.__name__: f
    for f in (in_a_python_worker, before_the_ledger, between_files_and_commit_of_a_merge, between_the_ledger_and_silver)
}


def main(moment: str, lake: str) -> None:
    from lakehouse.settings import use_lake
    from orchestration.cli.run import ingest_pending
    from orchestration.home import instance

    settings = use_lake(lake)
    MOMENTS[moment](Path(lake))
    ingest_pending(settings, instance(settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
