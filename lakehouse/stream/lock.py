"""One process a stream: two queries on one checkpoint would undo each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lakehouse.process_lock import Held, is_held, only_process
from lakehouse.settings import Settings
from lakehouse.stream.errors import StreamError
from lakehouse.stream.progress import streams_folder


@contextmanager
def only_one(settings: Settings, stream: str) -> Iterator[None]:
    """Hold the stream while the block runs; raises StreamError if another process of this machine has it."""
    with ExitStack() as held:
        try:
            held.enter_context(only_process(_path(settings, stream)))
        except Held as error:
            raise StreamError(
                f"the stream {stream} of {settings.lake} runs already (process {error}): "
                "stop it, or watch it with `soundlake streams`"
            ) from None
        yield


def is_running(settings: Settings, stream: str) -> bool:
    """Does a process of this machine run the stream?"""
    return is_held(_path(settings, stream))


def _path(settings: Settings, stream: str) -> Path:
    return streams_folder(settings) / f"{stream}.lock"
