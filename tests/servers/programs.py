"""Programs that tests run as servers: installed once, started on a free port, stopped by their process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BIN = Path("~/.cache/soundlake/bin").expanduser()
_GO_SECONDS = 900


def go_program(name: str, module: str, version: str) -> Path:
    """Path of the program, built by ``go install module@version`` if it is not there; skips the test without Go."""
    program = BIN / f"{name}-{version}"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"{name} is not installed and Go is missing: go install {module}@{version}")
    own = BIN / f".build-{os.getpid()}"
    own.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [go, "install", f"{module}@{version}"],
            env={**os.environ, "GOBIN": str(own), "GOFLAGS": "-p=2"},
            capture_output=True,
            text=True,
            timeout=_GO_SECONDS,
        )
        if done.returncode:
            pytest.fail(f"go install {module}@{version} failed: {done.stderr[-2000:]}")
        os.replace(own / module.rsplit("/", 1)[-1], program)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return program


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Ask until the answer is yes; fails the test after ``seconds``."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Does something accept connections there?"""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(command: list[str], port: int, log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """The server from when it answers on ``port`` until the block ends."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(port), f"an answer of {command[0]}")
        if process.poll() is not None:
            pytest.fail(f"{command[0]} ended with {process.returncode}: {log.read_text()[-2000:]}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
