"""The shared online store: a Redis server, with the same rows byte for byte as the embedded one.

Keys, for each view: ``soundlake:online:<view>`` a hash that says what is served and loaded, and
``soundlake:online:<view>:<version>`` a hash of its rows. A read asks for the row and the served version in one round
trip. Rows are compared and written by a script in the server, so that the newest wins whoever else writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

import redis

from lakehouse.online.codec import STREAMED
from lakehouse.online.redis_reader import Reader
from lakehouse.online.redis_script import MERGE, RECORD, REMOVE
from lakehouse.online.rows import Row, RowSchema, microseconds
from lakehouse.online.rules import key_bytes, streamed_after
from lakehouse.online.store import (
    Load,
    LoadSuperseded,
    OnlineStore,
    OnlineStoreError,
    Source,
    StoreFull,
    StoreUnavailable,
    ViewInfo,
    Written,
    other_schema,
)

SPACE = "soundlake:online"
VIEWS = f"{SPACE}:views"
CHUNK_ROWS = 500
"""Rows of one script call: a server does nothing else meanwhile."""
PIPELINE_CALLS = 20
TIMEOUT_SECONDS = 5.0


def state_key(view: str) -> str:
    return f"{SPACE}:{view}"


def rows_key(view: str, version: int) -> str:
    return f"{SPACE}:{view}:{version}"


def told(address: str, error: redis.exceptions.RedisError) -> OnlineStoreError:
    """An error of the client as one of ours, which names the server."""
    text = str(error)
    if isinstance(error, redis.exceptions.AuthenticationError):
        return StoreUnavailable(f"online store {address}: {text}; put the password into the address")
    if isinstance(error, redis.exceptions.ConnectionError | redis.exceptions.TimeoutError):
        return StoreUnavailable(f"online store {address} does not answer ({text}); is the server up?")
    if "OOM" in text or "used memory" in text:
        return StoreFull(f"online store {address}: the server's maxmemory is reached; raise it or drop views")
    if "MISCONF" in text:
        return StoreFull(f"online store {address}: the server can not save and refuses writes: {text}")
    return OnlineStoreError(f"online store {address}: {text}")


@contextmanager
def telling(address: str) -> Iterator[None]:
    try:
        yield
    except redis.exceptions.RedisError as error:
        raise told(address, error) from error


class RedisStore(OnlineStore):
    """See ``OnlineStore``. ``address``: redis://[user:password@]host:port/db; rediss:// for TLS."""

    kind = "redis"

    def __init__(self, address: str, read_only: bool = False):
        self._read_only = read_only
        try:
            self.client = redis.Redis.from_url(
                address, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
            )
        except ValueError as error:
            raise StoreUnavailable(f"online store {address!r}: {error}") from error
        at = self.client.connection_pool.connection_kwargs  # without the password
        self.address = at.get("path") or f"redis://{at.get('host')}:{at.get('port')}/{at.get('db') or 0}"
        with telling(self.address):
            self.client.ping()
        self.merge = self.client.register_script(MERGE)
        self._delete = self.client.register_script(REMOVE)
        self._record = self.client.register_script(RECORD)
        self._reader = Reader(self.client, SPACE)

    # ------------------------------------------------------------------ reading
    def get(self, schema: RowSchema, key: str, now: datetime | None = None) -> Row:
        now_us = time.time_ns() // 1000 if now is None else microseconds(now)
        try:
            payload = self._reader.one(schema.view, key)
        except redis.exceptions.RedisError as error:
            raise told(self.address, error) from error
        return schema.codec.row(key, payload, now_us)

    def payloads(self, view: str, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        with telling(self.address):
            return self._reader.many(view, keys)

    def scan(self, schema: RowSchema) -> Iterator[tuple[str, bytes]]:
        info = self.info(schema.view)
        if info is None:
            return
        with telling(self.address):
            for key, payload in self.client.hscan_iter(rows_key(info.view, info.version), count=1000):
                yield key.decode(), payload

    def info(self, view: str) -> ViewInfo | None:
        with telling(self.address):
            version, text, size = self.client.hmget(state_key(view), "version", "info", "bytes")
            if version is None:
                return None
            rows = self.client.hlen(rows_key(view, int(version)))
        return ViewInfo.from_json({**json.loads(text), "version": int(version), "rows": rows, "bytes": int(size or 0)})

    def views(self) -> list[ViewInfo]:
        with telling(self.address):
            names = sorted(name.decode() for name in self.client.smembers(VIEWS))
        return [info for name in names if (info := self.info(name))]

    def size(self) -> int:
        """Bytes of all rows as the server keeps them (sampled by it)."""
        total = 0
        for info in self.views():
            with telling(self.address):
                total += self.client.memory_usage(rows_key(info.view, info.version), samples=100) or 0
        return total

    # ------------------------------------------------------------------ writing
    def put(
        self,
        schema: RowSchema,
        rows: Mapping[str, Mapping[str, Any]],
        as_of: datetime,
        ttl_seconds: float | None = None,
    ) -> Written:
        self._may_write()
        payloads = schema.codec.encode(list(rows.values()), microseconds(as_of), ttl_seconds, STREAMED)
        pairs = list(zip(rows, payloads, strict=True))
        _check_keys(schema, rows)
        with telling(self.address):
            pipe = self.client.pipeline(transaction=False)
            for chunk in chunks(pairs, CHUNK_ROWS):
                self._call(pipe, schema, "put", chunk)
            answers = pipe.execute()
        if any(answer[0] < 0 for answer in answers):
            raise other_schema(self.address, schema, self.info(schema.view))
        return Written(sum(a[0] for a in answers), sum(a[1] for a in answers))

    def _call(self, pipe: Any, schema: RowSchema, how: str, pairs: list[tuple[str, bytes]], version: int = 0) -> None:
        """One call of the script; ``how``: put, load (into ``version``) or update."""
        fresh = ViewInfo(schema.view, 1, schema.hash, schema.describe())
        arguments = [how, SPACE, schema.view, f"{schema.hash:016x}", version, json.dumps(fresh.to_json())]
        self.merge(keys=[state_key(schema.view), VIEWS], args=[*arguments, *(x for p in pairs for x in p)], client=pipe)

    def update(
        self, schema: RowSchema, rows: Iterable[tuple[str, bytes]], removed: Iterable[str], source: Source
    ) -> Written:
        self._may_write()
        pairs, gone = list(rows), list(removed)
        _check_keys(schema, (key for key, _ in pairs))
        info = self.info(schema.view)
        if info is None or info.schema_hash != schema.hash:
            raise other_schema(self.address, schema, info)
        served = ViewInfo(info.view, info.version, info.schema_hash, info.fields, source, written_us=_now_us())
        with telling(self.address):
            pipe = self.client.pipeline(transaction=True)  # all of it in one step, or nothing if this process dies
            number = 0
            for chunk in chunks(pairs, CHUNK_ROWS):
                self._call(pipe, schema, "update", chunk, info.version)
                number += 1
            for chunk in chunks(gone, CHUNK_ROWS):
                arguments = [SPACE, schema.view, info.version, source.as_of_us, *chunk]
                self._delete(keys=[state_key(schema.view)], args=arguments, client=pipe)
            self._record(keys=[state_key(schema.view)], args=[info.version, json.dumps(served.to_json())], client=pipe)
            *answers, recorded = pipe.execute()
        if not recorded:
            raise LoadSuperseded(f"view {schema.view}: another materialisation switched meanwhile; run it again")
        changed = sum(a[0] for a in answers[:number])
        return Written(changed, len(pairs) - changed, sum(answers[number:]))

    def remove(self, schema: RowSchema, keys: Iterable[str]) -> int:
        self._may_write()
        with telling(self.address):
            return sum(
                self._delete(keys=[state_key(schema.view)], args=[SPACE, schema.view, "", "", *chunk])
                for chunk in chunks(list(keys), CHUNK_ROWS)
            )

    def begin(self, schema: RowSchema) -> Load:
        self._may_write()
        with telling(self.address):
            self.sweep(schema.view)
            key = state_key(schema.view)
            version = self.client.hincrby(key, "last", 1)
            loading = {"loading": version, "loading_schema": f"{schema.hash:016x}", "loading_bytes": 0}
            self.client.hset(key, mapping=loading)
        return RedisLoad(self, schema, version)

    def sweep(self, view: str) -> None:
        """Remove the rows of every version that is not served; ``floor``: all versions below it are gone."""
        key = state_key(view)
        self.client.hdel(key, "loading", "loading_schema", "loading_bytes")
        served, floor, last = (int(x or 0) for x in self.client.hmget(key, "version", "floor", "last"))
        for version in range(floor, last + 1):
            if version != served:
                self.client.unlink(rows_key(view, version))
        if last:
            self.client.hset(key, "floor", served or last)

    def drop(self, view: str) -> None:
        self._may_write()
        with telling(self.address):
            self.client.hdel(state_key(view), "version", "info", "bytes", "schema")
            self.sweep(view)  # "last" stays: the numbers go on
            self.client.srem(VIEWS, view)

    def close(self) -> None:
        self._reader.close()
        self.client.close()

    def _may_write(self) -> None:
        if self._read_only:
            raise StoreUnavailable(f"online store {self.address} was opened for reading only")


class RedisLoad(Load):
    def __init__(self, store: RedisStore, schema: RowSchema, version: int):
        self._store, self._schema, self.version = store, schema, version

    def write(self, rows: Iterable[tuple[str, bytes]]) -> int:
        count = 0
        with telling(self._store.address):
            for many in chunks(rows, CHUNK_ROWS * PIPELINE_CALLS):
                _check_keys(self._schema, (key for key, _ in many))
                pipe = self._store.client.pipeline(transaction=False)
                for chunk in chunks(many, CHUNK_ROWS):
                    self._store._call(pipe, self._schema, "load", chunk, self.version)
                if any(answer[0] < 0 for answer in pipe.execute()):
                    raise self._superseded()
                count += len(many)
        return count

    def switch(self, source: Source) -> ViewInfo:
        self._carry(source.as_of_us)
        schema, store = self._schema, self._store
        info = ViewInfo(schema.view, self.version, schema.hash, schema.describe(), source, written_us=_now_us())
        key = state_key(schema.view)
        with telling(store.address):

            def swap(pipe: Any) -> None:
                loading, size = pipe.hmget(key, "loading", "loading_bytes")
                if loading is None or int(loading) != self.version:
                    raise self._superseded()
                pipe.multi()
                served = {"version": self.version, "schema": f"{schema.hash:016x}", "bytes": int(size)}
                pipe.hset(key, mapping={**served, "info": json.dumps(info.to_json())})
                pipe.hdel(key, "loading", "loading_schema", "loading_bytes")
                pipe.sadd(VIEWS, schema.view)

            store.client.transaction(swap, key)
            store.sweep(schema.view)
        return store.info(schema.view) or info

    def _carry(self, after_us: int) -> None:
        """Take along rows that the stream wrote before this load began and that the table does not know yet."""
        info = self._store.info(self._schema.view)
        if info is not None and info.schema_hash == self._schema.hash:
            rows = self._store.scan(self._schema)
            self.write((key, payload) for key, payload in rows if streamed_after(payload, after_us))

    def abandon(self) -> None:
        """Best effort: the next load sweeps what is left here."""
        try:
            found = self._store.client.hget(state_key(self._schema.view), "loading")
            if found is not None and int(found) == self.version:
                self._store.sweep(self._schema.view)
        except redis.exceptions.RedisError:
            return

    def _superseded(self) -> LoadSuperseded:
        return LoadSuperseded(
            f"view {self._schema.view}: another materialisation began after version {self.version} in "
            f"{self._store.address}; let one run at a time"
        )


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def _check_keys(schema: RowSchema, keys: Iterable[str]) -> None:
    """The limits of the embedded store, so that a lake can change from one to the other."""
    for key in keys:
        key_bytes(schema.view, key)


def _now_us() -> int:
    return time.time_ns() // 1000
