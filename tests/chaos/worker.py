"""One actor on a lake, until its work is done: `python worker.py ingest|stream|maintain LAKE`. Says "ready" first."""

from __future__ import annotations

import sys

from lakehouse.settings import Settings, use_lake


def ingest(settings: Settings) -> None:
    """The job `ingest`, as `soundlake run` starts it."""
    from orchestration.cli.run import ingest_pending
    from orchestration.home import instance

    reports = ingest_pending(settings, instance(settings))
    failed = [text for report in reports for text in report.failed_steps.values()]
    assert not failed, failed


def stream(settings: Settings) -> None:
    """Landed files by micro-batches of two."""
    from lakehouse.stream.query import FILES, StreamOptions, run_stream

    run_stream(settings, StreamOptions(source=FILES, once=True, max_per_batch=2, trigger_seconds=0.1))


def maintain(settings: Settings) -> None:
    """OPTIMIZE, VACUUM and the log of every table."""
    from lakehouse.maintenance import maintain as maintain_table
    from lakehouse.tables import TABLES

    for table in TABLES.values():
        maintain_table(settings, table)


ACTORS = {actor.__name__: actor for actor in (ingest, stream, maintain)}


def main(actor: str, lake: str) -> None:
    from lakehouse.spark import get_spark

    settings = use_lake(lake)
    get_spark(settings)
    print("ready", flush=True)
    ACTORS[actor](settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
