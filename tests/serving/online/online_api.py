"""A small lake with an online store, and an API over it."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from fastapi.testclient import TestClient
from tiny_model import TRACKS

from lakehouse.features.views import USER_SESSION
from lakehouse.online.store import open_store
from lakehouse.online.views import VIEWS
from lakehouse.parse import pseudonymiser
from lakehouse.tables.features import FEATURE_TABLES
from lakehouse.tables.gold import TRACK_FEATURES
from serving.api import create_app

HISTORY = ["t1", "t4"]
NAMES = {f"t{i}": {"title": f"Title {i}", "artist_name": f"Artist {i // 2}", "genre": "jazz"} for i in range(8)}


def write_table(settings, table, rows: list[dict]) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    write_deltalake(settings.table_uri(table.name), pa.Table.from_pylist(rows), mode="overwrite")


def write_catalogue(settings) -> None:
    """Eight tracks, t0 the most played; in France t7 is, by far."""
    rows = [
        {"track_id": t, "artist_id": NAMES[t]["artist_name"], **NAMES[t], "plays_last_7d": 80 - 10 * i}
        for i, t in enumerate(TRACKS)
    ]
    write_table(settings, TRACK_FEATURES, rows)
    write_table(settings, FEATURE_TABLES["track_country"], [{"track_id": "t7", "country": "FR", "plays_7d": 5000.0}])


def write_listener(settings, user_id: str, tracks: list[str]) -> None:
    """The online row of a listener; ``tracks`` oldest first. It is old, as in a lake of last year."""
    key = pseudonymiser(settings.pseudonym_key_bytes())(user_id)
    with open_store(settings) as store:
        rows = {key: {"last_tracks": tracks[::-1], "session_plays": len(tracks)}}
        store.put(VIEWS[USER_SESSION.name].schema, rows, datetime.now(UTC) - timedelta(days=100))


@contextmanager
def running(settings, address: str | None, ready: bool = True):
    """A client of an app; ``ready``: wait until it is."""
    with TestClient(create_app(settings, address)) as client:
        deadline = time.monotonic() + 20
        while ready and client.get("/ready").status_code != 200:
            assert time.monotonic() < deadline, client.get("/ready").text
            time.sleep(0.02)
        yield client


@contextmanager
def listening(settings, address: str | None):
    """The address of an app behind a real socket, for clients that are programs of their own."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(settings, address)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 20
    while not server.started or app.state.service.ready.catalogue != "ok":
        assert thread.is_alive() and time.monotonic() < deadline
        time.sleep(0.02)
    urllib.request.urlopen(f"{url}/health", timeout=10).close()
    yield url
    server.should_exit = True
    thread.join(15)
