"""A Redis server that stops, comes back empty, or has no memory left."""

from __future__ import annotations

import pytest
from servers.redis import PROGRAM, WHY_SKIPPED, RedisServer
from taste import NOON, TASTE, VIEW, replace_table

from lakehouse.online.materialise import materialise
from lakehouse.online.redis_store import RedisStore
from lakehouse.online.rows import microseconds
from lakehouse.online.store import OnlineStoreError, Source, StoreFull, StoreUnavailable

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_SKIPPED)


@pytest.fixture
def server(tmp_path):
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_server_that_stops_is_named_and_one_that_comes_back_is_used(server, settings):
    replace_table(settings, {"a": 1}, NOON)
    with RedisStore(server.address) as store:
        materialise(settings, store, VIEW)
        assert store.get(TASTE, "a").found
        server.stop()
        for refused in (lambda: store.get(TASTE, "a"), lambda: store.put(TASTE, {"a": {}}, NOON)):
            with pytest.raises(StoreUnavailable, match=rf"redis://127.0.0.1:{server.port}/0 does not answer"):
                refused()
        server.start()
        assert not store.get(TASTE, "a").found  # it kept nothing
        assert materialise(settings, store, VIEW).way == "full"
        assert store.get(TASTE, "a").values["plays"] == 1


def test_a_restart_between_two_reads_is_not_noticed(server):
    with RedisStore(server.address) as store:
        store.put(TASTE, {"a": {"plays": 1}}, NOON)
        assert store.get(TASTE, "a").found
        server.stop()
        server.start()
        assert not store.get(TASTE, "a").found


def test_no_server_at_all(server):
    server.stop()
    with pytest.raises(StoreUnavailable, match="does not answer.*is the server up"):
        RedisStore(server.address)


def test_a_wrong_password_is_told_without_being_shown(server):
    with pytest.raises(OnlineStoreError) as raised:
        RedisStore(server.address.replace("redis://", "redis://user:hunter2@"))
    assert "hunter2" not in str(raised.value)


def test_a_server_without_memory_keeps_what_was_served(server):
    def load(store: RedisStore, plays: int, rows: int) -> None:
        payloads = TASTE.codec.encode([{"plays": plays, "recent": ["x" * 500]}] * rows, microseconds(NOON))
        with store.begin(TASTE) as loading:
            loading.write((f"u{i}", payload) for i, payload in enumerate(payloads))
            loading.switch(Source(as_of_us=microseconds(NOON)))

    with RedisStore(server.address) as store:
        load(store, 1, 100)
        store.client.config_set("maxmemory", store.client.info("memory")["used_memory"] + 2**20)
        with pytest.raises(StoreFull, match="the server's maxmemory is reached"):
            load(store, 2, 20_000)
        assert {int(row.vector[0]) for row in store.get_many(TASTE, [f"u{i}" for i in range(100)])} == {1}
        store.client.config_set("maxmemory", 0)
        load(store, 3, 100)
        assert store.get(TASTE, "u99").values["plays"] == 3
        assert len(store.client.keys("soundlake:online:taste:*")) == 1
