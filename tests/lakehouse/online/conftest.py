"""Both online stores, each real: a folder, and a redis-server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from servers.redis import PROGRAM, WHY_SKIPPED, RedisServer

from lakehouse.online.store import OnlineStore, open_store


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    if PROGRAM is None:
        pytest.skip(WHY_SKIPPED)
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["lmdb", "redis"])
def store_settings(request, settings):
    """Settings of an empty lake with an empty store of each kind."""
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        server.clear()
        return settings.model_copy(update={"online_store": server.address})
    return settings


@pytest.fixture
def opened(store_settings):
    """Opens the store, each time anew; closes all of them."""
    made: list[OnlineStore] = []

    def open_one(read_only: bool = False) -> OnlineStore:
        made.append(open_store(store_settings, read_only))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


@pytest.fixture
def store(opened: Callable[[], OnlineStore]) -> OnlineStore:
    return opened()
