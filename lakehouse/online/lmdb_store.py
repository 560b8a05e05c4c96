"""The embedded online store: one LMDB file, read by any number of processes through the page cache.

Keys: ``m<view>`` what is served and loaded (JSON), ``v<view>`` the served version (4 bytes), and
``r<view>\\0<version><key>`` one row. A new version is a new prefix; the switch is one small transaction. Processes that
write take turns by LMDB's own lock, which the kernel lets go when one is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakehouse.online.codec import STREAMED
from lakehouse.online.lmdb_env import Environment
from lakehouse.online.lmdb_load import LmdbLoad
from lakehouse.online.lmdb_state import CHUNK_ROWS, Loading, State, delete, grow, prefix_of, put, some, sweep_some
from lakehouse.online.rows import Row, RowSchema, microseconds
from lakehouse.online.rules import key_bytes, not_older, replaces
from lakehouse.online.store import Load, OnlineStore, Source, StoreUnavailable, ViewInfo, Written, other_schema

if TYPE_CHECKING:
    import lmdb


class LmdbStore(OnlineStore):
    """See ``OnlineStore``. Threads share one read transaction under a lock; for reads in parallel use processes."""

    kind = "lmdb"

    def __init__(self, folder: str, read_only: bool = False):
        self._read_only = read_only
        self._env = Environment.acquire(folder, create=not read_only)
        self._closed = False
        self.address = self._env.path
        self._seen = -1  # id of the transaction that the prefixes were read in
        self._prefixes: dict[str, bytes | None] = {}

    # ------------------------------------------------------------------ reading
    def get(self, schema: RowSchema, key: str, now: datetime | None = None) -> Row:
        now_us = time.time_ns() // 1000 if now is None else microseconds(now)
        env = self._env
        with env.reading:
            txn = env.begin_read()
            try:
                prefix = self._prefix(txn, schema.view)
                payload = None if prefix is None else txn.get(prefix + key.encode())
            finally:
                txn.abort()
        return schema.codec.row(key, payload, now_us)

    def payloads(self, view: str, keys: Sequence[str]) -> list[bytes | None]:
        def read(txn: lmdb.Transaction) -> list[bytes | None]:
            prefix = self._prefix(txn, view)
            return [None if prefix is None else txn.get(prefix + key.encode()) for key in keys]

        return self._read(read)

    def _read(self, reader: Callable[[lmdb.Transaction], Any]) -> Any:
        with self._env.reading:
            txn = self._env.begin_read()
            try:
                return reader(txn)
            finally:
                txn.abort()

    def _prefix(self, txn: lmdb.Transaction, view: str) -> bytes | None:
        """Where the rows of the served version begin in this transaction."""
        if txn.id() != self._seen:
            self._seen = txn.id()
            self._prefixes.clear()
        if view not in self._prefixes:
            version = txn.get(b"v" + view.encode())
            self._prefixes[view] = None if version is None else prefix_of(view, int.from_bytes(version, "big"))
        return self._prefixes[view]

    def scan(self, schema: RowSchema) -> Iterator[tuple[str, bytes]]:
        prefix = self._read(lambda txn: self._prefix(txn, schema.view))
        if prefix is not None:
            yield from self.rows_from(prefix)

    def rows_from(self, prefix: bytes) -> Iterator[tuple[str, bytes]]:
        """Rows of one version, a few at a time, so that nobody waits for the end."""
        at: bytes | None = prefix
        while at is not None:
            rows, at = self._read(lambda txn, start=at: some(txn, prefix, start, CHUNK_ROWS))
            yield from rows

    def info(self, view: str) -> ViewInfo | None:
        return self._read(lambda txn: State.read(txn, view)).info

    def views(self) -> list[ViewInfo]:
        def names(txn: lmdb.Transaction) -> list[str]:
            with txn.cursor() as cursor:
                found = cursor.iternext(values=False) if cursor.set_range(b"v") else ()
                return [key[1:].decode() for key in found if key.startswith(b"v")]

        return [info for name in self._read(names) if (info := self.info(name))]

    def size(self) -> int:
        return self._env.bytes

    # ------------------------------------------------------------------ writing
    def put(
        self,
        schema: RowSchema,
        rows: Mapping[str, Mapping[str, Any]],
        as_of: datetime,
        ttl_seconds: float | None = None,
    ) -> Written:
        payloads = schema.codec.encode(list(rows.values()), microseconds(as_of), ttl_seconds, STREAMED)
        keys = [key_bytes(schema.view, key) for key in rows]

        def change(txn: lmdb.Transaction) -> Written:
            state = State.read(txn, schema.view)
            if state.info is None and state.loading is None:
                state.last += 1
                state.info = ViewInfo(schema.view, state.last, schema.hash, schema.describe())
            served = state.info and state.info.schema_hash == schema.hash
            loading = state.loading and state.loading.schema_hash == schema.hash
            if not (served or loading):
                raise other_schema(self.address, schema, state.info)
            written = Written()
            if loading:
                written, grown = put(txn, prefix_of(schema.view, state.loading.version), keys, payloads, not_older)
                state.loading = grow(state.loading, grown)
            if served:
                written, grown = put(txn, prefix_of(schema.view, state.info.version), keys, payloads, not_older)
                state.info = replace(grow(state.info, grown), written_us=time.time_ns() // 1000)
            state.write(txn, schema.view)
            return written

        return self.write(change)

    def update(
        self, schema: RowSchema, rows: Iterable[tuple[str, bytes]], removed: Iterable[str], source: Source
    ) -> Written:
        rows, gone = list(rows), [key_bytes(schema.view, key) for key in removed]
        keys, payloads = [key_bytes(schema.view, key) for key, _ in rows], [payload for _, payload in rows]

        def change(txn: lmdb.Transaction) -> Written:
            state = State.read(txn, schema.view)
            if state.info is None or state.info.schema_hash != schema.hash:
                raise other_schema(self.address, schema, state.info)
            prefix = prefix_of(schema.view, state.info.version)
            written, grown = put(txn, prefix, keys, payloads, replaces)
            count, size = delete(txn, prefix, gone, unless_after=source.as_of_us)
            state.info = replace(
                grow(grow(state.info, grown), (-count, -size)), source=source, written_us=time.time_ns() // 1000
            )
            state.write(txn, schema.view)
            return replace(written, removed=count)

        return self.write(change)

    def remove(self, schema: RowSchema, keys: Iterable[str]) -> int:
        gone = [key_bytes(schema.view, key) for key in keys]

        def change(txn: lmdb.Transaction) -> int:
            state, count = State.read(txn, schema.view), 0
            if state.loading:
                found, size = delete(txn, prefix_of(schema.view, state.loading.version), gone)
                state.loading = grow(state.loading, (-found, -size))
            if state.info:
                count, size = delete(txn, prefix_of(schema.view, state.info.version), gone)
                state.info = grow(state.info, (-count, -size))
            state.write(txn, schema.view)
            return count

        return self.write(change)

    def begin(self, schema: RowSchema) -> Load:
        self._env.forget_dead_readers()
        self.sweep(schema.view)

        def change(txn: lmdb.Transaction) -> int:
            state = State.read(txn, schema.view)
            state.last += 1
            state.loading = Loading(state.last, schema.hash)
            state.write(txn, schema.view)
            return state.last

        return LmdbLoad(self, schema, self.write(change))

    def drop(self, view: str) -> None:
        def unserve(txn: lmdb.Transaction) -> None:
            state = State.read(txn, view)
            if state.last:  # the number goes on, or a row that is still there could be taken for a new one
                State(last=state.last).write(txn, view)

        self.write(unserve)
        self.sweep(view)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._env.release()

    def write(self, change: Callable[[lmdb.Transaction], Any]) -> Any:
        if self._read_only:
            raise StoreUnavailable(f"online store {self.address} was opened for reading only")
        return self._env.write(change)

    def sweep(self, view: str) -> None:
        """Remove the rows of every version that is not served, a chunk at a time."""

        def change(txn: lmdb.Transaction) -> bool:
            state = State.read(txn, view)
            if state.loading:  # whoever writes it will find that it is no longer wanted
                state.loading = None
                state.write(txn, view)
            served = prefix_of(view, state.info.version) if state.info else None
            return sweep_some(txn, b"r" + view.encode() + b"\0", served, CHUNK_ROWS)

        while self.write(change):
            pass
