"""The server as a process: start errors, ports, and the choice between a running server and an embedded one."""

from __future__ import annotations

import socket

import pytest

from serving.client import ModelClient
from serving.errors import ServerUnreachable
from serving.files import locked
from serving.process import ServerProcess, ServerStartError, ensure_server


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nothing_at_the_address():
    address = f"127.0.0.1:{closed_port()}"
    with ModelClient(address) as client:
        assert not client.is_up()
        with pytest.raises(ServerUnreachable, match=f"no model server at {address}: start one with `soundlake dev`"):
            client.status("any")


def test_a_server_that_answers_is_used(world):
    with ensure_server(world.server.address, world.config_file) as running:
        assert (running.embedded, running.address) == (False, world.server.address)
        assert running.client.is_up()


def test_otherwise_one_is_embedded_for_the_duration(tmp_path):
    config_file = tmp_path / "new" / "models.config"
    with ensure_server(f"127.0.0.1:{closed_port()}", config_file, log_file=tmp_path / "server.log") as running:
        assert running.embedded and running.client.is_up()
        assert config_file.exists()
        address = running.address
    with ModelClient(address) as client:
        assert not client.is_up()
    assert "stopping" in (tmp_path / "server.log").read_text()


def test_a_server_that_cannot_start_shows_its_log(tmp_path):
    process = ServerProcess(tmp_path / "models.config", extra_flags=["--no_such_flag"])
    with pytest.raises(ServerStartError, match="(?s)ended with status 2; log .*unrecognized arguments: --no_such_flag"):
        process.start()
    assert process.pid is None


def test_a_lock_held_by_another_process_is_named(tmp_path):
    path = tmp_path / "models.config"
    held = pytest.raises(TimeoutError, match=r"models.config.lock is held by another process")
    with locked(path), held, locked(path, timeout_s=0.1):
        pass
    with locked(path, timeout_s=0.1):
        assert path.with_name("models.config.lock").exists()
