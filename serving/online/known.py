"""What the online store knows of a listener at the moment of a request, and what becomes of it when it is down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lakehouse.features.views import USER_SESSION
from lakehouse.online.rows import Row
from lakehouse.online.store import OnlineStore, StoreUnavailable, open_store
from lakehouse.online.views import VIEWS
from lakehouse.parse import pseudonymiser
from lakehouse.settings import Settings

LOGGER = logging.getLogger(__name__)
TIMEOUT_S = 0.05
"""A store that has not answered by then counts as down for the request."""
_RETRY_S = 1.0  # after a failure nobody waits for the store again until so much later
_SCHEMA = VIEWS[USER_SESSION.name].schema
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""What somebody heard last does not expire, as counts of it do: rows are read as of a time when they were good."""


@dataclass(frozen=True)
class Known:
    """history: track ids, oldest first. known: the store has a row of the listener. down: why the store did not
    answer, "" where it did."""

    history: list[str] = field(default_factory=list)
    profile: Mapping[str, Any] = field(default_factory=dict)
    known: bool = False
    down: str = ""


class Listeners:
    """Reads of the online store for requests. LMDB is read at once (a map of memory), Redis by a thread of its own."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._pseudonym = pseudonymiser(settings.pseudonym_key_bytes())
        self._store: OnlineStore | None = None
        self._threads = ThreadPoolExecutor(2, "online-store")
        self._failed_at = -_RETRY_S
        self.why = "it was not opened yet"

    def key(self, user_id: str) -> str:
        """The listener's pseudonym."""
        return self._pseudonym(user_id)

    @property
    def is_open(self) -> bool:
        return self._store is not None

    def open(self) -> None:
        """Open the store unless it is open; raises OnlineStoreError. For a thread: a server may not answer."""
        if self._store is None:
            self._store = open_store(self._settings, read_only=True)
            self.why = ""

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._store is not None:
            self._store.close()
            self._store = None

    async def find(self, user_id: str) -> Known:
        """The listener; never raises."""
        store = self._store
        if store is None:
            return Known(down=self.why)
        if time.monotonic() - self._failed_at < _RETRY_S:
            return Known(down=self.why)
        try:
            if store.kind == "lmdb":
                return self._read(store, user_id)
            reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read, store, user_id)
            return await asyncio.wait_for(reading, TIMEOUT_S)
        except TimeoutError:
            return self._failed(f"online store {store.address} did not answer within {TIMEOUT_S * 1000:.0f} ms")
        except Exception as error:  # a broken file or a broken answer: whatever it is, the listener gets an answer
            return self._failed(f"{type(error).__name__}: {error}")

    def _read(self, store: OnlineStore, user_id: str) -> Known:
        row = store.get(_SCHEMA, self.key(user_id), _LONG_AGO)
        return Known(row.values["last_tracks"][::-1], {}, row.found) if row.found else Known()

    def _failed(self, why: str) -> Known:
        if why != self.why:
            LOGGER.warning("%s", why)
        self._failed_at, self.why = time.monotonic(), why
        return Known(down=why)

    def rows(self, user_id: str) -> dict[str, Row]:
        """Every row that the store has under the listener's own key, by view. Raises OnlineStoreError."""
        if self._store is None:
            raise StoreUnavailable(self.why)
        key, store, found = self.key(user_id), self._store, {}
        for info in store.views():
            view = VIEWS.get(info.view)
            if view is None or view.table.key != ("user_key",):
                continue
            row = store.get(view.schema, key, _LONG_AGO)
            if row.found:
                found[view.name] = row
        return found
