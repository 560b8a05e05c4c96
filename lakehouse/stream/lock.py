"""One process a stream: two queries on one checkpoint would undo each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from lakehouse.settings import Settings
from lakehouse.stream.errors import StreamError
from lakehouse.stream.progress import streams_folder


@contextmanager
def only_one(settings: Settings, stream: str) -> Iterator[None]:
    """Hold the stream while the block runs; raises StreamError if another process of this machine has it."""
    path = streams_folder(settings) / f"{stream}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StreamError(
                f"the stream {stream} of {settings.lake} runs already (process {lock.read().strip() or 'unknown'}): "
                "stop it, or watch it with `soundlake streams`"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def is_running(settings: Settings, stream: str) -> bool:
    """Does a process of this machine run the stream?"""
    path = streams_folder(settings) / f"{stream}.lock"
    if not path.exists():
        return False
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
