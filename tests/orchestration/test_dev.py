"""`soundlake dev`: what it starts, how it tells that something is wrong, and that nothing outlives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.settings import Settings
from orchestration.cli.dev import _only_one, check_free, environment, services_of
from orchestration.cli.errors import CommandError
from orchestration.cli.supervisor import Service, Supervisor

PYTHON = sys.executable
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def wait_for(condition: Callable[[], object], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def free_port(pair: bool = False) -> int:
    """A port that is free now; with ``pair`` the next one is free too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1 if pair else 0))
            except OSError:
                continue
            return port


def processes() -> list[tuple[int, int, int]]:
    """(pid, parent, group) of every process that is not a zombie."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue  # it has ended meanwhile
            if state != "Z":
                found.append((int(entry.name), int(parent), int(group)))
    return found


def groups_of(pid: int) -> set[int]:
    return {group for _, parent, group in processes() if parent == pid}


def left_of(groups: set[int]) -> list[int]:
    return [pid for pid, _, group in processes() if group in groups]


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(tmp_path / "logs", tmp_path, os.environ)
    yield made
    made.stop(0)


def program(name: str, code: str, probe: str = "http://127.0.0.1:9/") -> Service:
    return Service(name, name, (PYTHON, "-u", "-c", code), probe, "")


def started(supervisor: Supervisor, name: str) -> bool:
    return "up" in supervisor.log(name).read_text()


def test_a_service_that_ends_is_told_with_its_status_and_log(supervisor):
    supervisor.start(program("sleeper", SLEEPER))
    supervisor.start(program("broken", "print('no such thing'); raise SystemExit(3)"))
    with pytest.raises(CommandError, match="(?s)broken ended with status 3.*broken.log:\nno such thing"):
        supervisor.watch()


def test_what_does_not_speak_http_is_not_up_yet(supervisor):
    """As a probe that connected to itself: it reads its own request back."""
    port = free_port()
    echo = (
        "import socket\nserver = socket.create_server(('127.0.0.1', %d))\nprint('up', flush=True)\n"
        "while True:\n    line, _ = server.accept()\n    line.sendall(line.recv(9999))\n    line.close()\n"
    )
    service = program("echo", echo % port, f"http://127.0.0.1:{port}/")
    supervisor.start(service)
    wait_for(lambda: started(supervisor, "echo"), "the echo server")
    with pytest.raises(CommandError, match="echo does not answer"):
        supervisor.wait_until_up(service, seconds=1)


def test_a_killed_service_is_told_by_its_signal(supervisor):
    supervisor.start(program("victim", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    with pytest.raises(CommandError, match="victim was ended by signal 9.*\n.it wrote nothing"):
        supervisor.watch()


def test_only_the_log_of_this_start_is_shown(supervisor):
    supervisor.log("broken").write_text("words of yesterday\n")
    supervisor.start(program("broken", "raise SystemExit('words of today')"))
    with pytest.raises(CommandError, match="words of today") as error:
        supervisor.watch()
    assert "yesterday" not in str(error.value)


def test_a_silent_service_is_told_with_its_address(supervisor):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        service = program("mute", SLEEPER, f"http://127.0.0.1:{closed.getsockname()[1]}/health")
        supervisor.start(service)
        with pytest.raises(CommandError, match="mute does not answer at http://127.0.0.1:.*/health after 0 s"):
            supervisor.wait_until_up(service, 0)


@needs_proc
def test_what_a_service_started_is_stopped_with_it(supervisor):
    before = groups_of(os.getpid())
    nested = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).wait()"
    supervisor.start(program("parent", nested))
    wait_for(lambda: started(supervisor, "parent"), "the inner program")
    groups = groups_of(os.getpid()) - before
    assert len(left_of(groups)) >= 2
    supervisor.stop()
    wait_for(lambda: not left_of(groups), "the end of both")


@needs_proc
def test_a_service_that_ignores_sigterm_is_killed(supervisor):
    before = groups_of(os.getpid())
    supervisor.start(program("stubborn", STUBBORN))
    wait_for(lambda: started(supervisor, "stubborn"), "the program")
    groups = groups_of(os.getpid()) - before
    supervisor.stop(0.2)
    assert left_of(groups) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_watch_and_are_given_back(supervisor, number):
    before = signal.getsignal(number)
    supervisor.start(program("sleeper", SLEEPER))
    with supervisor.handling_signals():
        os.kill(os.getpid(), number)
        supervisor.watch()
    assert supervisor.signals == 1
    assert signal.getsignal(number) is before


def test_a_taken_port_is_named_with_its_option():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=f"MLflow can not listen on 127.0.0.1:{port}: .*--mlflow-port"):
            check_free("MLflow", "127.0.0.1", port, "--mlflow-port")
    check_free("MLflow", "127.0.0.1", port, "--mlflow-port")


def test_services_that_run_elsewhere_are_not_started(settings):
    assert [s.name for s in services_of(settings, "127.0.0.1", 1, 2, 3, 4)] == [
        "model-server",
        "mlflow",
        "api",
        "dagster",
    ]
    elsewhere = settings.model_copy(update={"mlflow_uri": "http://mlflow:5000", "serving_address": "serving:8500"})
    assert [s.name for s in services_of(elsewhere, "127.0.0.1", 1, 2, 3, 4)] == ["api", "dagster"]


def test_a_server_for_everyone_is_asked_at_this_machine(settings):
    services = {s.name: s for s in services_of(settings, "0.0.0.0", 3000, 5000, 8500, 8600)}
    assert services["mlflow"].probe == "http://127.0.0.1:5000/health"
    assert "--host=0.0.0.0" in services["model-server"].command
    allowed = services["mlflow"].command[services["mlflow"].command.index("--allowed-hosts") + 1]
    assert f"{socket.gethostname()}:*" in allowed.split(",")


def test_services_get_the_settings_that_were_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings(lake="lake", state="here", pseudonym_key="secret", train_epochs=2)
    given = environment(settings)
    assert given["SOUNDLAKE_LAKE"] == str(tmp_path / "lake")
    assert given["SOUNDLAKE_STATE"] == str(tmp_path / "here")
    assert given["SOUNDLAKE_PSEUDONYM_KEY"] == "secret"
    assert given["SOUNDLAKE_TRAIN_EPOCHS"] == "2"
    assert "SOUNDLAKE_SEED" not in given


def test_a_second_dev_on_one_lake_is_refused(settings):
    refused = pytest.raises(CommandError, match=f"already .process {os.getpid()}.: use it")
    with _only_one(settings), refused, _only_one(settings):
        pass
    with _only_one(settings):
        pass  # the first has ended


@pytest.fixture
def dev(tmp_path):
    """`soundlake dev` as a process on an empty lake."""
    lake = tmp_path / "lake"
    ports = {option: free_port() for option in ("--dagster-port", "--mlflow-port", "--api-port")}
    ports["--serving-port"] = free_port(pair=True)
    arguments = [item for option, port in ports.items() for item in (option, str(port))]
    code = "from orchestration.cli import main; main()"
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen(
            [PYTHON, "-c", code, "dev", "--lake", str(lake), *arguments], stdout=output, stderr=output
        )
    yield process, lake, ports, tmp_path / "out"
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.slow
@needs_proc
def test_dev_starts_answers_and_leaves_nothing(dev):
    process, lake, ports, out = dev
    wait_for(lambda: "Ctrl-C" in out.read_text() or process.poll() is not None, "the four services")
    assert process.poll() is None, out.read_text()
    address = lake / "_soundlake/serving/server.address"
    assert address.read_text() == f"127.0.0.1:{ports['--serving-port']}\n"
    for port, path, sign in (
        (ports["--dagster-port"], "/server_info", b"dagster_version"),
        (ports["--mlflow-port"], "/health", b"OK"),
        (ports["--api-port"], "/health", b"ok"),
    ):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            assert sign in answer.read()
    groups = groups_of(process.pid)
    assert len(groups) == 4
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert left_of(groups) == []
    assert not address.exists()
    assert out.read_text().endswith("Stopped.\n")


@pytest.mark.slow
@needs_proc
def test_dev_stops_when_the_model_server_dies(dev):
    process, lake, _, out = dev
    wait_for(lambda: (lake / "_soundlake/serving/server.address").exists() or process.poll() is not None, "the server")
    assert process.poll() is None, out.read_text()
    groups = groups_of(process.pid)
    server = next(g for g in groups if b"serving.model_server" in Path(f"/proc/{g}/cmdline").read_bytes())
    os.kill(server, signal.SIGKILL)
    assert process.wait(60) == 2
    assert "model-server was ended by signal 9, so everything was stopped" in out.read_text()
    assert left_of(groups) == []
