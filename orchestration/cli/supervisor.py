"""Several programs that live and die together, each in a process group of its own."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestration.cli.errors import CommandError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START_SECONDS = 180
STOP_SECONDS = 20
"""A run of Dagster that is under way gets this long to write that it was stopped."""
_TAIL_LINES = 20


@dataclass(frozen=True)
class Service:
    """One program: its command, the URL that answers once it is up, and where a person finds it."""

    name: str
    title: str
    command: Sequence[str]
    probe: str
    shown: str


class Supervisor:
    """Starts services, notices when one ends, stops all of them.

    Args:
        logs: folder of ``<service>.log``; output is appended.
        folder: working directory of the services.
        environment: their environment.
    """

    def __init__(self, logs: Path, folder: Path, environment: Mapping[str, str]):
        self.signals = 0
        self._logs, self._folder, self._environment = logs, folder, dict(environment)
        self._running: dict[str, subprocess.Popen] = {}
        self._offsets: dict[str, int] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, service: Service) -> None:
        """Start it in a group of its own: Ctrl-C reaches this process only, which then stops each in order."""
        with self.log(service.name).open("ab") as output:
            self._offsets[service.name] = output.tell()
            self._running[service.name] = subprocess.Popen(
                list(service.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def wait_until_up(self, service: Service, seconds: float = START_SECONDS) -> bool:
        """-> True once its probe answers, False when a signal came first.

        Raises CommandError with the end of the log when any service ends, or this one is silent for ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while not self.signals:
            self.check()
            if _answers(service.probe):
                return True
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{service.name} does not answer at {service.probe} after {seconds:.0f} s; "
                    f"the end of {self.log(service.name)}:\n{self._tail(service.name)}"
                )
            time.sleep(0.2)
        return False

    def watch(self) -> None:
        """Return when a signal comes; raises CommandError with the end of its log when a service ends."""
        while not self.signals:
            self.check()
            time.sleep(0.2)

    def check(self) -> None:
        """Raise CommandError if a service has ended."""
        for name, process in self._running.items():
            if (status := process.poll()) is not None:
                how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
                raise CommandError(
                    f"{name} {how}, so everything was stopped; the end of {self.log(name)}:\n{self._tail(name)}"
                )

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM to every group, SIGKILL to what is left after ``seconds`` or when a further signal comes."""
        before = self.signals
        deadline = time.monotonic() + seconds
        for process in self._running.values():
            _signal_group(process, signal.SIGTERM)
        while any(_group_lives(p) for p in self._running.values()):
            if time.monotonic() > deadline or self.signals > max(before, 1):
                break
            time.sleep(0.1)
        for process in self._running.values():
            _signal_group(process, signal.SIGKILL)
            process.wait()
        self._running.clear()

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Count SIGINT, SIGTERM and SIGHUP instead of dying of them, even where a shell had them ignored."""

        def count(_number: int, _frame: object) -> None:
            self.signals += 1

        before = {number: signal.signal(number, count) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _tail(self, name: str) -> str:
        """The last lines of this start's output."""
        with self.log(name).open("rb") as log:
            log.seek(self._offsets[name])
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-_TAIL_LINES:]) or "(it wrote nothing)"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500  # an answer all the same: a model server without a model says 404
    except (OSError, http.client.HTTPException):
        return False  # a free port of the ephemeral range may even connect to itself and read back its own question


def _signal_group(process: subprocess.Popen, number: int) -> None:
    with suppress(ProcessLookupError):  # all of it has gone
        os.killpg(process.pid, number)


def _group_lives(process: subprocess.Popen) -> bool:
    """Is any process of the group left? Its leader may be gone before those that it started."""
    process.poll()  # a leader that has ended must be collected, or its group lives for ever
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
