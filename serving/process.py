"""The stand-in model server as a process of its own: start, wait until ready, stop."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.client import ModelClient
from serving.config import ensure_config_file

_READY = re.compile(r"^soundlake model server ready grpc=(\S+) rest=(\S+)$", re.MULTILINE)
_LOG_TAIL = 2000


class ServerStartError(Exception):
    """The model server did not start; the message ends with its log."""


class ServerProcess:
    """A stand-in server on free ports (unless given), as a context manager or by `start` and `stop`.

    Args:
        config_file: the `ModelServerConfig`; an empty one is written where there is none.
        log_file: where the server's output goes (appended); a temporary file by default.
        mounts: path prefixes in the configuration -> local folders, as a container's volumes.
        stop_with_parent: the server stops when this process dies, even by SIGKILL.
        extra_flags: further flags of `python -m serving.model_server`.

    Labels in the configuration are accepted at the start, as compose starts the real server too.
    """

    def __init__(
        self,
        config_file: Path,
        *,
        log_file: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        rest_port: int = 0,
        poll_wait_seconds: float = 1.0,
        mounts: Mapping[str, str] | None = None,
        stop_with_parent: bool = True,
        start_timeout: float = 120.0,
        extra_flags: Sequence[str] = (),
    ):
        self.config_file = Path(config_file)
        self.log_file = Path(log_file) if log_file else None
        self.address = self.rest_address = ""
        self._port, self._rest_port = port, rest_port
        self._flags = [
            f"--model_config_file={self.config_file}",
            f"--host={host}",
            f"--file_system_poll_wait_seconds={poll_wait_seconds}",
            "--allow_version_labels_for_unavailable_models=true",
            *(f"--mount={prefix}={folder}" for prefix, folder in (mounts or {}).items()),
            *(["--stop_with_parent"] if stop_with_parent else []),
            *extra_flags,
        ]
        self._start_timeout = start_timeout
        self._process: subprocess.Popen | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> ServerProcess:
        """Start the server and wait for its ready line; raises `ServerStartError` with the end of its log."""
        ensure_config_file(self.config_file)
        if self.log_file is None:
            handle, name = tempfile.mkstemp(prefix="model-server-", suffix=".log")
            os.close(handle)
            self.log_file = Path(name)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            offset = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving.model_server", *self._flags, *self._ports()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"},
                # Its own group: an interrupt at the terminal reaches the parent alone, which then stops the server.
                start_new_session=True,
            )
        try:
            self.address, self.rest_address = self._wait_ready(offset)
        except BaseException:
            self.stop()
            raise
        return self

    def _ports(self) -> list[str]:
        """Flags of the ports; a server that is started again keeps those it had, so that clients find it."""
        port = self.address.rpartition(":")[2] or self._port
        rest_port = self.rest_address.rpartition(":")[2] or self._rest_port
        return [f"--port={port}", f"--rest_api_port={rest_port}"]

    def _wait_ready(self, offset: int) -> tuple[str, str]:
        deadline = time.monotonic() + self._start_timeout
        while True:
            ended = self._process.poll() is not None
            output = self._read_log(offset)
            if match := _READY.search(output):
                return match[1], match[2]
            if ended or time.monotonic() > deadline:
                what = (
                    f"ended with status {self._process.returncode}"
                    if ended
                    else f"was not ready after {self._start_timeout:g} s"
                )
                raise ServerStartError(
                    f"the model server for {self.config_file} {what}; log ({self.log_file}):\n{output[-_LOG_TAIL:]}"
                )
            time.sleep(0.05)

    def _read_log(self, offset: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def stop(self, timeout: float = 10.0) -> None:
        """SIGTERM, then SIGKILL after `timeout` seconds; nothing happens when it has ended already."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL: what a crash of the server looks like."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> ServerProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True)
class RunningServer:
    """A server to talk to: a connected client, and whether it was started for this `with` only."""

    client: ModelClient
    address: str
    embedded: bool
    log_file: Path | None = None


@contextmanager
def ensure_server(
    address: str | None,
    config_file: Path,
    *,
    log_file: Path | None = None,
    mounts: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    start_timeout: float = 120.0,
) -> Iterator[RunningServer]:
    """The server at `address` if one answers there, otherwise a stand-in for the duration of the `with`.

    The stand-in reads `config_file`; `mounts` lets it find base paths written for a container.
    """
    if address:
        with ModelClient(address, timeout) as client:
            if client.is_up():
                yield RunningServer(client, address, embedded=False)
                return
    process = ServerProcess(config_file, log_file=log_file, mounts=mounts, start_timeout=start_timeout)
    with process, ModelClient(process.address, timeout) as client:
        yield RunningServer(client, process.address, embedded=True, log_file=process.log_file)
