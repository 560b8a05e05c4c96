"""What the embedded store keeps of a view, and the steps that one transaction on it is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from lakehouse.online.rules import streamed_after
from lakehouse.online.store import ViewInfo, Written

if TYPE_CHECKING:
    import lmdb


CHUNK_ROWS = 10_000
"""Rows of one write transaction of a load; other writers get their turn in between."""


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


def put(
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


def delete(
    txn: lmdb.Transaction, prefix: bytes, keys: Iterable[bytes], unless_after: int | None = None
) -> tuple[int, int]:
    """Rows and bytes removed; rows that the stream wrote later than ``unless_after`` stay."""
    count = size = 0
    for key in keys:
        old = txn.get(prefix + key)
        if old is None or (unless_after is not None and streamed_after(old, unless_after)):
            continue
        txn.delete(prefix + key)
        count, size = count + 1, size + len(key) + len(old)
    return count, size


def some(
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


def sweep_some(txn: lmdb.Transaction, family: bytes, served: bytes | None, limit: int) -> bool:
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


def grow(counted: Any, grown: tuple[int, int]) -> Any:
    return replace(counted, rows=counted.rows + grown[0], bytes=counted.bytes + grown[1])
