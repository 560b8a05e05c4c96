"""Appends small files to a table and maintains it, for ever: `python maintenance_worker.py LAKE`; it is killed."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]


def main(lake: str) -> None:
    from test_maintenance import PLAYS, fill

    from lakehouse import maintenance
    from lakehouse.settings import Settings

    settings = Settings(lake=lake, state=Path(lake) / "_state")
    maintenance.LEAST_KEEP = timedelta(0)  # every replaced file goes at once: the hardest case
    while True:
        fill(settings, PLAYS, files=2)
        maintenance.maintain(settings, PLAYS, keep=timedelta(0))
        print("ready", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
