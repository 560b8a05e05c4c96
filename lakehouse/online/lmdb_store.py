"""The embedded online store: one LMDB file, read by any number of processes through the page cache.

Keys: ``m<view>`` what is served and loaded (JSON), ``v<view>`` the served version (4 bytes), and
``r<view>\\0<version><key>`` one row. A new version is a new prefix; the switch is one small transaction. Processes that
write take turns by LMDB's own lock, which the kernel lets go when one is killed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from lakehouse.online import codec
from lakehouse.online.lmdb_env import Environment
from lakehouse.online.rows import Row, RowError, RowSchema, microseconds
from lakehouse.online.store import (
    Load,
    LoadSuperseded,
    OnlineStore,
    Source,
    StoreUnavailable,
    ViewInfo,
    Written,
    other_schema,
)

if TYPE_CHECKING:
    import lmdb

CHUNK_ROWS = 10_000
"""Rows of one write transaction of a load; other writers get their turn in between."""
MAX_KEY_BYTES = 511
"""LMDB's limit for a whole key, prefix included."""


@dataclass(frozen=True)
class Loading:
    """A version that is being written beside the served one."""

    version: int
    schema_hash: int
    rows: int = 0
    bytes: int = 0


@dataclass
class State:
    """What the store knows of a view: what is served, what is loading, the highest version number ever given."""

    info: ViewInfo | None = None
    loading: Loading | None = None
    last: int = 0

    @classmethod
    def read(cls, txn: lmdb.Transaction, view: str) -> State:
        data = txn.get(b"m" + view.encode())
        if data is None:
            return cls()
        found = json.loads(data)
        return cls(
            ViewInfo.from_json(found["info"]) if found["info"] else None,
            Loading(**found["loading"]) if found["loading"] else None,
            found["last"],
        )

    def write(self, txn: lmdb.Transaction, view: str) -> None:
        found = {
            "info": self.info.to_json() if self.info else None,
            "loading": asdict(self.loading) if self.loading else None,
            "last": self.last,
        }
        txn.put(b"m" + view.encode(), json.dumps(found).encode())
        if self.info:
            txn.put(b"v" + view.encode(), self.info.version.to_bytes(4, "big"))
        else:
            txn.delete(b"v" + view.encode())


def prefix_of(view: str, version: int) -> bytes:
    return b"r" + view.encode() + b"\0" + version.to_bytes(4, "big")


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

    def get_many(self, schema: RowSchema, keys: Sequence[str], now: datetime | None = None) -> list[Row]:
        now_us = time.time_ns() // 1000 if now is None else microseconds(now)

        def read(txn: lmdb.Transaction) -> list[bytes | None]:
            prefix = self._prefix(txn, schema.view)
            return [None if prefix is None else txn.get(prefix + key.encode()) for key in keys]

        row = schema.codec.row
        return [row(key, payload, now_us) for key, payload in zip(keys, self._read(read), strict=True)]

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
            yield from self._rows(prefix)

    def _rows(self, prefix: bytes) -> Iterator[tuple[str, bytes]]:
        """Rows of one version, a few at a time, so that nobody waits for the end."""
        at: bytes | None = prefix
        while at is not None:
            rows, at = self._read(lambda txn, start=at: _some(txn, prefix, start, CHUNK_ROWS))
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
        payloads = schema.codec.encode(list(rows.values()), microseconds(as_of), ttl_seconds, codec.STREAMED)
        keys = [_key(schema, key) for key in rows]

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
                written, grown = _put(txn, prefix_of(schema.view, state.loading.version), keys, payloads, _not_older)
                state.loading = _grow(state.loading, grown)
            if served:
                written, grown = _put(txn, prefix_of(schema.view, state.info.version), keys, payloads, _not_older)
                state.info = replace(_grow(state.info, grown), written_us=time.time_ns() // 1000)
            state.write(txn, schema.view)
            return written

        return self._write(change)

    def update(
        self, schema: RowSchema, rows: Iterable[tuple[str, bytes]], removed: Iterable[str], source: Source
    ) -> Written:
        rows, gone = list(rows), [_key(schema, key) for key in removed]
        keys, payloads = [_key(schema, key) for key, _ in rows], [payload for _, payload in rows]

        def change(txn: lmdb.Transaction) -> Written:
            state = State.read(txn, schema.view)
            if state.info is None or state.info.schema_hash != schema.hash:
                raise other_schema(self.address, schema, state.info)
            prefix = prefix_of(schema.view, state.info.version)
            written, grown = _put(txn, prefix, keys, payloads, codec.replaces)
            count, size = _delete(txn, prefix, gone, unless_after=source.as_of_us)
            state.info = replace(
                _grow(_grow(state.info, grown), (-count, -size)), source=source, written_us=time.time_ns() // 1000
            )
            state.write(txn, schema.view)
            return replace(written, removed=count)

        return self._write(change)

    def remove(self, schema: RowSchema, keys: Iterable[str]) -> int:
        gone = [_key(schema, key) for key in keys]

        def change(txn: lmdb.Transaction) -> int:
            state, count = State.read(txn, schema.view), 0
            if state.loading:
                found, size = _delete(txn, prefix_of(schema.view, state.loading.version), gone)
                state.loading = _grow(state.loading, (-found, -size))
            if state.info:
                count, size = _delete(txn, prefix_of(schema.view, state.info.version), gone)
                state.info = _grow(state.info, (-count, -size))
            state.write(txn, schema.view)
            return count

        return self._write(change)

    def begin(self, schema: RowSchema) -> Load:
        self._env.forget_dead_readers()
        self._sweep(schema.view)

        def change(txn: lmdb.Transaction) -> int:
            state = State.read(txn, schema.view)
            state.last += 1
            state.loading = Loading(state.last, schema.hash)
            state.write(txn, schema.view)
            return state.last

        return LmdbLoad(self, schema, self._write(change))

    def drop(self, view: str) -> None:
        def unserve(txn: lmdb.Transaction) -> None:
            state = State.read(txn, view)
            if state.last:  # the number goes on, or a row that is still there could be taken for a new one
                State(last=state.last).write(txn, view)

        self._write(unserve)
        self._sweep(view)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._env.release()

    def _write(self, change: Callable[[lmdb.Transaction], Any]) -> Any:
        if self._read_only:
            raise StoreUnavailable(f"online store {self.address} was opened for reading only")
        return self._env.write(change)

    def _sweep(self, view: str) -> None:
        """Remove the rows of every version that is not served, a chunk at a time."""

        def change(txn: lmdb.Transaction) -> bool:
            state = State.read(txn, view)
            if state.loading:  # whoever writes it will find that it is no longer wanted
                state.loading = None
                state.write(txn, view)
            served = prefix_of(view, state.info.version) if state.info else None
            return _sweep_some(txn, b"r" + view.encode() + b"\0", served, CHUNK_ROWS)

        while self._write(change):
            pass


class LmdbLoad(Load):
    def __init__(self, store: LmdbStore, schema: RowSchema, version: int):
        self._store, self._schema, self.version = store, schema, version
        self._prefix = prefix_of(schema.view, version)

    def write(self, rows: Iterable[tuple[str, bytes]]) -> int:
        rows, count = iter(rows), 0
        while chunk := list(islice(rows, CHUNK_ROWS)):
            keys, payloads = [_key(self._schema, key) for key, _ in chunk], [payload for _, payload in chunk]
            self._store._write(lambda txn, k=keys, p=payloads: self._write_chunk(txn, k, p))
            count += len(chunk)
        return count

    def _write_chunk(self, txn: lmdb.Transaction, keys: list[bytes], payloads: list[bytes]) -> None:
        state = self._state(txn)
        if state.info and state.info.schema_hash == self._schema.hash:
            served = prefix_of(self._schema.view, state.info.version)
            payloads = [_newest_streamed(txn.get(served + k), p) for k, p in zip(keys, payloads, strict=True)]
        _, grown = _put(txn, self._prefix, keys, payloads, _not_older)
        state.loading = _grow(state.loading, grown)
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

        info = self._store._write(change)
        self._store._sweep(self._schema.view)
        return info

    def _carry(self, after_us: int) -> None:
        """Take along rows that the stream wrote before this load began and that the table does not know yet."""
        info = self._store.info(self._schema.view)
        if info is None or info.schema_hash != self._schema.hash:
            return
        rows = self._store._rows(prefix_of(self._schema.view, info.version))
        self.write((key, payload) for key, payload in rows if _streamed_after(payload, after_us))

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
            self._store._write(self._state)
            self._store._sweep(self._schema.view)
        except (LoadSuperseded, StoreUnavailable, RuntimeError):
            return


# ---------------------------------------------------------------------- on one transaction
def _key(schema: RowSchema, key: str) -> bytes:
    data = key.encode()
    room = MAX_KEY_BYTES - len(schema.view) - 6
    if not 0 < len(data) <= room:
        raise RowError(f"view {schema.view}: key {key!r:.80} has {len(data)} bytes; 1 to {room} fit")
    return data


def _put(
    txn: lmdb.Transaction,
    prefix: bytes,
    keys: list[bytes],
    payloads: list[bytes],
    wanted: Callable[[bytes, bytes | None], bool],
) -> tuple[Written, tuple[int, int]]:
    """Write the rows that are ``wanted`` over what is there; also says by how many rows and bytes the version grew."""
    changed = added = grown = 0
    for key, payload in zip(keys, payloads, strict=True):
        old = txn.get(prefix + key)
        if wanted(payload, old):
            txn.put(prefix + key, payload)
            changed += 1
            added += old is None
            grown += len(payload) + (len(key) if old is None else -len(old))
    return Written(changed, len(keys) - changed), (added, grown)


def _delete(
    txn: lmdb.Transaction, prefix: bytes, keys: Iterable[bytes], unless_after: int | None = None
) -> tuple[int, int]:
    """Rows and bytes removed; rows that the stream wrote later than ``unless_after`` stay."""
    count = size = 0
    for key in keys:
        old = txn.get(prefix + key)
        if old is None or (unless_after is not None and _streamed_after(old, unless_after)):
            continue
        txn.delete(prefix + key)
        count, size = count + 1, size + len(key) + len(old)
    return count, size


def _some(
    txn: lmdb.Transaction, prefix: bytes, start: bytes, limit: int
) -> tuple[list[tuple[str, bytes]], bytes | None]:
    """At most ``limit`` rows from ``start`` on, and where to go on."""
    rows: list[tuple[str, bytes]] = []
    with txn.cursor() as cursor:
        if not cursor.set_range(start):
            return rows, None
        for key, payload in cursor:
            if not key.startswith(prefix):
                return rows, None
            if len(rows) == limit:
                return rows, key
            rows.append((key[len(prefix) :].decode(), payload))
    return rows, None


def _sweep_some(txn: lmdb.Transaction, family: bytes, served: bytes | None, limit: int) -> bool:
    """Delete at most ``limit`` rows of a view that are not of the served version; False when none is left."""
    at = family
    with txn.cursor() as cursor:
        while limit and cursor.set_range(at) and cursor.key().startswith(family):
            key = cursor.key()
            if served is not None and key.startswith(served):
                at = served + b"\xff" * 8  # no UTF-8 text begins with 0xff: behind every row of this version
                continue
            cursor.delete()
            at, limit = key, limit - 1
    return not limit


def _grow(counted: Any, grown: tuple[int, int]) -> Any:
    return replace(counted, rows=counted.rows + grown[0], bytes=counted.bytes + grown[1])


def _not_older(new: bytes, old: bytes | None) -> bool:
    return old is None or codec.header(new).as_of_us >= codec.header(old).as_of_us


def _streamed_after(payload: bytes, after_us: int) -> bool:
    found = codec.header(payload)
    return bool(found.flags & codec.STREAMED) and found.as_of_us > after_us


def _newest_streamed(served: bytes | None, batch: bytes) -> bytes:
    return served if served is not None and _streamed_after(served, codec.header(batch).as_of_us) else batch
