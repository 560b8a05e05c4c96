"""Runs the job `ingest` for a range of landing days: `python backfill_worker.py LAKE FIRST LAST`."""

from __future__ import annotations

import sys
from datetime import date

from lakehouse.settings import use_lake


def main(lake: str, first: str, last: str) -> None:
    from rich.console import Console

    from orchestration.definitions import defs
    from orchestration.home import instance
    from orchestration.runner import run_job

    settings = use_lake(lake)
    days = (date.fromisoformat(first), date.fromisoformat(last))
    report = run_job(defs, "ingest", instance(settings), Console(quiet=True), days=days)
    assert report.success, report.failed_steps


if __name__ == "__main__":
    main(*sys.argv[1:])
