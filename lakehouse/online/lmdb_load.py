"""A new version of a view in the embedded store, written beside the served one."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from lakehouse.online.lmdb_state import CHUNK_ROWS, State, grow, prefix_of, put
from lakehouse.online.rows import RowSchema
from lakehouse.online.rules import key_bytes, newest_streamed, not_older, streamed_after
from lakehouse.online.store import Load, LoadSuperseded, OnlineStoreError, Source, ViewInfo

if TYPE_CHECKING:
    import lmdb

    from lakehouse.online.lmdb_store import LmdbStore


class LmdbLoad(Load):
    def __init__(self, store: LmdbStore, schema: RowSchema, version: int):
        self._store, self._schema, self.version = store, schema, version
        self._prefix = prefix_of(schema.view, version)

    def write(self, rows: Iterable[tuple[str, bytes]]) -> int:
        rows, count = iter(rows), 0
        while chunk := list(islice(rows, CHUNK_ROWS)):
            keys, payloads = [key_bytes(self._schema.view, key) for key, _ in chunk], [payload for _, payload in chunk]
            self._store.write(lambda txn, k=keys, p=payloads: self._write_chunk(txn, k, p))
            count += len(chunk)
        return count

    def _write_chunk(self, txn: lmdb.Transaction, keys: list[bytes], payloads: list[bytes]) -> None:
        state = self._state(txn)
        if state.info and state.info.schema_hash == self._schema.hash:
            served = prefix_of(self._schema.view, state.info.version)
            payloads = [newest_streamed(txn.get(served + k), p) for k, p in zip(keys, payloads, strict=True)]
        _, grown = put(txn, self._prefix, keys, payloads, not_older)
        state.loading = grow(state.loading, grown)
        state.write(txn, self._schema.view)

    def switch(self, source: Source) -> ViewInfo:
        self._carry(source.as_of_us)

        def change(txn: lmdb.Transaction) -> ViewInfo:
            state = self._state(txn)
            state.info = ViewInfo(
                self._schema.view,
                self.version,
                self._schema.hash,
                self._schema.describe(),
                source,
                state.loading.rows,
                state.loading.bytes,
                time.time_ns() // 1000,
            )
            state.loading = None
            state.write(txn, self._schema.view)
            return state.info

        info = self._store.write(change)
        self._store.sweep(self._schema.view)
        return info

    def _carry(self, after_us: int) -> None:
        """Take along rows that the stream wrote before this load began and that the table does not know yet."""
        info = self._store.info(self._schema.view)
        if info is None or info.schema_hash != self._schema.hash:
            return
        rows = self._store.rows_from(prefix_of(self._schema.view, info.version))
        self.write((key, payload) for key, payload in rows if streamed_after(payload, after_us))

    def _state(self, txn: lmdb.Transaction) -> State:
        state = State.read(txn, self._schema.view)
        if state.loading is None or state.loading.version != self.version:
            raise LoadSuperseded(
                f"view {self._schema.view}: another materialisation began after version {self.version} in "
                f"{self._store.address}; let one run at a time"
            )
        return state

    def abandon(self) -> None:
        """Best effort, as on a full disk: the next load sweeps what is left here."""
        try:
            self._store.write(self._state)
            self._store.sweep(self._schema.view)
        except OnlineStoreError:
            return
