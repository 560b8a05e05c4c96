"""What every online store does, and the door to the one that the settings name.

A store holds views; a view holds one row a key. A view's rows come from a Delta table by materialisation
(``begin`` … ``switch`` for a whole new version beside the served one, ``update`` for what changed) and from the
stream in between (``put``). Of two rows of one key the newest ``as_of`` wins, whoever wrote it.

>>> with open_store(get_settings()) as store:
...     store.put(schema, {"user-1": {"plays_7d": 12}}, as_of=datetime.now(UTC))
...     row = store.get(schema, "user-1")
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from lakehouse.online.rows import Row, RowSchema, SchemaMismatch, from_microseconds, microseconds
from lakehouse.settings import Settings


class OnlineStoreError(RuntimeError):
    """The store can't do what was asked; the text says which store and what to try next."""


class StoreUnavailable(OnlineStoreError):
    """The store can't be reached or opened."""


class StoreFull(OnlineStoreError):
    """No room for the write; what was served before is served on."""


class LoadSuperseded(OnlineStoreError):
    """Another materialisation of the view began after this one, whose rows were thrown away."""


@dataclass(frozen=True)
class Source:
    """What a view's rows were made from, recorded in the store with them."""

    table: str | None = None
    table_id: str | None = None
    delta_version: int | None = None
    as_of_us: int = 0

    @property
    def as_of(self) -> datetime:
        """No row of the table speaks of a later moment."""
        return from_microseconds(self.as_of_us)


@dataclass(frozen=True)
class ViewInfo:
    """What is served of a view: its version in the store, and where that came from. ``bytes``: of its rows."""

    view: str
    version: int
    schema_hash: int
    fields: list = field(default_factory=list)
    source: Source = field(default_factory=Source)
    rows: int = 0
    bytes: int = 0
    written_us: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, text: Mapping[str, Any]) -> Self:
        return cls(**{**text, "source": Source(**text["source"])})


@dataclass(frozen=True)
class Written:
    """Rows that a write changed, that were already so or newer, and that it removed."""

    changed: int = 0
    unchanged: int = 0
    removed: int = 0


class Load(ABC):
    """A new version of one view, invisible until ``switch``. Use as a context manager: an error throws it away."""

    version: int

    @abstractmethod
    def write(self, rows: Iterable[tuple[str, bytes]]) -> int:
        """Add encoded rows; a row of the stream that is newer than its twin here is kept. Returns rows given."""

    @abstractmethod
    def switch(self, source: Source) -> ViewInfo:
        """Serve this version from now on, in one step, and remove the version before it."""

    @abstractmethod
    def abandon(self) -> None:
        """Throw the version away."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is not None:
            self.abandon()


class OnlineStore(ABC):
    """One store: a context manager, used by one thread or several; not across a fork."""

    kind: str
    address: str

    # ------------------------------------------------------------------ reading
    @abstractmethod
    def get(self, schema: RowSchema, key: str, now: datetime | None = None) -> Row:
        """One row, or the declared defaults if there is none or it is expired at ``now`` (default: the clock).

        Raises SchemaMismatch for a row of another schema, StoreUnavailable.
        """

    def get_many(self, schema: RowSchema, keys: Sequence[str], now: datetime | None = None) -> list[Row]:
        """Rows in the order of ``keys``, all of one version."""
        now_us = time.time_ns() // 1000 if now is None else microseconds(now)
        row, payloads = schema.codec.row, self.payloads(schema.view, keys)
        return [row(key, payload, now_us) for key, payload in zip(keys, payloads, strict=True)]

    @abstractmethod
    def payloads(self, view: str, keys: Sequence[str]) -> list[bytes | None]:
        """The bytes of rows of the served version, whatever their schema."""

    @abstractmethod
    def scan(self, schema: RowSchema) -> Iterator[tuple[str, bytes]]:
        """Key and bytes of every row of the served version, in any order."""

    @abstractmethod
    def info(self, view: str) -> ViewInfo | None:
        """What is served of a view; None if nothing was written yet."""

    @abstractmethod
    def views(self) -> list[ViewInfo]:
        """Every view of the store, by name."""

    @abstractmethod
    def size(self) -> int:
        """Bytes that the store takes, on disk or in the server's memory."""

    # ------------------------------------------------------------------ writing
    @abstractmethod
    def put(
        self,
        schema: RowSchema,
        rows: Mapping[str, Mapping[str, Any]],
        as_of: datetime,
        ttl_seconds: float | None = None,
    ) -> Written:
        """Write fresh rows (key -> field -> value) at once; rows that are there with a later ``as_of`` stay.

        ``ttl_seconds`` replaces the view's for these rows. Raises RowError, SchemaMismatch if the view is served with
        another schema, StoreFull, StoreUnavailable.
        """

    @abstractmethod
    def update(
        self, schema: RowSchema, rows: Iterable[tuple[str, bytes]], removed: Iterable[str], source: Source
    ) -> Written:
        """Change encoded rows of the served version and record ``source``, in one step that readers see whole."""

    @abstractmethod
    def remove(self, schema: RowSchema, keys: Iterable[str]) -> int:
        """Remove rows whatever their ``as_of`` (erasure); returns how many there were."""

    @abstractmethod
    def begin(self, schema: RowSchema) -> Load:
        """Start the next version of a view; what a killed load left is removed first."""

    @abstractmethod
    def drop(self, view: str) -> None:
        """Forget a view and its rows; no error if there is none."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def other_schema(address: str, schema: RowSchema, info: ViewInfo | None) -> Exception:
    """The error of a write whose schema is not that of the served rows."""
    if info is None:
        return OnlineStoreError(
            f"online store {address} has no view {schema.view}; `soundlake online materialise {schema.view}` makes it"
        )
    return SchemaMismatch(
        f"view {schema.view} is served from {address} with another schema ({schema.difference(info.fields)}); "
        f"`soundlake online materialise {schema.view}` writes it anew, `soundlake online drop {schema.view}` forgets it"
    )


def open_store(settings: Settings, read_only: bool = False) -> OnlineStore:
    """The store of ``settings.online_store``: redis://host:port/db, or a folder for LMDB (default <state>/online).

    ``read_only`` refuses writes. Raises StoreUnavailable.
    """
    address = settings.online_store or str(settings.state_dir / "online")
    if address.startswith(("redis://", "rediss://", "unix://")):
        from lakehouse.online.redis_store import RedisStore

        return RedisStore(address, read_only)
    if "://" in address:
        raise StoreUnavailable(f"online store {address!r}: give redis://host:port/db or a folder for LMDB")
    from lakehouse.online.lmdb_store import LmdbStore

    return LmdbStore(address, read_only)
