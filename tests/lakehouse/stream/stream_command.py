"""`soundlake stream` as a process of its own, with the settings of a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse.settings import Settings
from orchestration.cli.dev import environment

_END_SECONDS = 120


class StreamCommand:
    """A running command; ``said`` is what it has printed."""

    def __init__(self, settings: Settings, options: tuple[str, ...], log: Path):
        self._log = log
        command = [sys.executable, "-c", "from orchestration.cli import main; main()", "stream", *options]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(settings),
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def interrupt(self) -> int:
        """-> exit status after Ctrl-C, which a terminal sends to all processes of a command."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(_END_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the process, its JVM and its Python workers, as when the machine loses power."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(_END_SECONDS)


@contextmanager
def stream_command(settings: Settings, *options: str, log: Path) -> Iterator[StreamCommand]:
    """The command while the block runs; it is killed at the end if it has not ended by then."""
    command = StreamCommand(settings, options, log)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            command.kill()
