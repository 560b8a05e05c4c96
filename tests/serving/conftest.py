"""One model server for all tests here, and folders of each test's own."""

from __future__ import annotations

import itertools
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_model import export_model

from serving.client import ModelClient
from serving.config import ModelConfig, empty_server_config, save_server_config, with_model
from serving.process import ServerProcess

_NUMBERS = itertools.count(1)


class World:
    """One test's model folder, configuration file and the shared server.

    `name` is a model name of this test's own: the server remembers what became of the versions of a name.
    """

    def __init__(self, server: ServerProcess, client: ModelClient, exported: Path, base: Path):
        self.server, self.client, self.exported, self.base = server, client, exported, base
        self.name = f"tiny-{next(_NUMBERS)}"
        self.config_file = server.config_file

    def add(self, name: str, *versions: int) -> None:
        """Copy exported versions into the model's folder, each by a rename."""
        for version in versions:
            temporary = self.base / name / f"tmp-{version}"
            shutil.copytree(self.exported / str(version), temporary)
            os.rename(temporary, self.base / name / str(version))

    def model(self, name: str, *versions: int, labels: dict[str, int] | None = None, policy: str = "specific"):
        """A configuration with one model."""
        part = ModelConfig(name, str(self.base / name), versions, labels or {}, policy)
        return with_model(empty_server_config(), part)


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """A folder with the exported versions 1 to 3; copy from it, do not change it."""
    folder = tmp_path_factory.mktemp("exported")
    for version in (1, 2, 3):
        export_model(folder, version)
    return folder


@pytest.fixture(scope="session")
def starting_server(tmp_path_factory):
    """The shared server on its way up: its TensorFlow loads while this process exports models."""
    folder = tmp_path_factory.mktemp("server")
    server = ServerProcess(
        folder / "models.config",
        log_file=folder / "server.log",
        poll_wait_seconds=0.1,
        mounts={"/mount": str(tmp_path_factory.getbasetemp())},
    )
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(server.start)
    server.stop()


@pytest.fixture(scope="session")
def shared_server(starting_server, exported) -> ServerProcess:
    return starting_server.result()


@pytest.fixture(scope="session")
def shared_client(shared_server):
    with ModelClient(shared_server.address, timeout=20) as client:
        yield client


@pytest.fixture
def world(shared_server, shared_client, exported, tmp_path) -> World:
    """The shared server, emptied, and folders of this test's own."""
    save_server_config(shared_server.config_file, empty_server_config())
    shared_client.reload(empty_server_config())
    return World(shared_server, shared_client, exported, tmp_path)
