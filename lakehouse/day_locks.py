"""One reader a landing day: two ingests that find the same new file would both append its lines."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date

from lakehouse.settings import Settings


@contextmanager
def landing_days(settings: Settings, days: Iterable[date]) -> Iterator[None]:
    """Hold ``days`` while the block runs; waits for whoever has one of them, a process of this machine or a thread.

    They are taken in order, so that two who want several never wait for each other. A kill lets go of them. Other
    machines are not seen: there the run queue of one Dagster instance keeps two runs of `ingest` apart.
    """
    folder = settings.state_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for day in sorted(set(days)):
            lock = held.enter_context((folder / f"landing-{day}.lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
