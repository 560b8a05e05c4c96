"""Bringing a view's Delta table into the online store: whole, or only what changed since the last time.

The store remembers the table's id and version that its rows were made from. From there on
``changes``      the commits since then touched single rows: their change data feed is applied;
``comparison``   the table was replaced meanwhile: it is read once, and rows that differ from the served are written;
``full``         anything else (the first time, another schema, another table, most rows differ): a new version is
                 loaded beside the served one and switched to.
Each way ends in one step that readers see whole, so that a kill at any moment leaves what was served before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from lakehouse import delta_log
from lakehouse.arrow import TableMissing
from lakehouse.online import changes
from lakehouse.online.from_arrow import encode_batches
from lakehouse.online.rules import replaces, streamed_after
from lakehouse.online.store import OnlineStore, Source, ViewInfo
from lakehouse.online.views import View
from lakehouse.settings import Settings

if TYPE_CHECKING:
    import deltalake

BATCH_ROWS = 20_000
MOST_CHANGES = 200_000
"""Rows that one step may change; with more a new version is loaded, which takes little memory at any size."""
FEED_ROWS = 1_000_000


@dataclass(frozen=True)
class Materialised:
    """What was done for one view. ``offered``: rows of the table or of its feed; the rest of them was as served."""

    view: str
    way: str
    info: ViewInfo
    from_delta_version: int | None
    offered: int
    changed: int
    removed: int
    seconds: float


def materialise(settings: Settings, store: OnlineStore, view: View, whole: bool = False) -> Materialised:
    """Bring the newest version of the view's table into the store; ``whole`` loads all of it anew.

    Raises TableMissing, and the errors of the store.
    """
    started = time.monotonic()
    delta = delta_log.open_table(settings, view.table)
    if delta is None:
        raise TableMissing(f"{view.table.name} does not exist in {settings.lake}; `soundlake run` makes it")
    table = _TableAt(view, delta)
    served = store.info(view.name)
    done = None if whole or not _continues(served, view, table) else _changed(store, served, table)
    way, offered, changed, removed = done or _load(store, table)
    info = store.info(view.name)
    assert info is not None  # one of the two has just written it
    before = served.source.delta_version if served else None
    return Materialised(view.name, way, info, before, offered, changed, removed, time.monotonic() - started)


class _TableAt:
    """One version of a view's table."""

    def __init__(self, view: View, delta: deltalake.DeltaTable):
        self.view, self.delta = view, delta
        self.version = delta.version()
        self.id = str(delta.metadata().id)
        self.commit_us = int(delta.history(1)[0].get("timestamp", 0)) * 1000
        self.latest_us = 0  # newest as_of of the rows encoded so far

    def rows(self) -> Iterator[tuple[str, bytes]]:
        """All rows, encoded."""
        data = self.delta.to_pyarrow_dataset()
        return self.encode(data.to_batches(columns=self.view.columns, batch_size=BATCH_ROWS))

    def encode(self, batches: Iterable) -> Iterator[tuple[str, bytes]]:
        return encode_batches(self.view, self._watched(batches), self.commit_us)

    def _watched(self, batches: Iterable) -> Iterator:
        for batch in batches:
            if self.view.as_of and batch.num_rows:
                self.latest_us = max(self.latest_us, newest_us(batch.column(self.view.as_of)))
            yield batch

    def source(self, before: Source | None = None) -> Source:
        moment = max(self.latest_us, before.as_of_us if before else 0) if self.view.as_of else self.commit_us
        return Source(self.view.table.name, self.id, self.version, moment)


def newest_us(column: object) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    newest = pc.max(column)
    return 0 if not newest.is_valid else newest.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).as_py()


def _continues(served: ViewInfo | None, view: View, table: _TableAt) -> bool:
    """Whether the served rows are an earlier version of the same table in the same layout."""
    return (
        served is not None
        and served.schema_hash == view.schema.hash
        and served.source.table_id == table.id
        and served.source.delta_version is not None
        and served.source.delta_version <= table.version
    )


Done = tuple[str, int, int, int]


def _changed(store: OnlineStore, served: ViewInfo, table: _TableAt) -> Done | None:
    """Write what changed; None where a whole load is less work."""
    after = served.source.delta_version
    assert after is not None
    if after == table.version:
        return "up to date", 0, 0, 0
    if changes.tells_rows(table.delta, after):
        found = changes.read(table.delta, table.view, after, FEED_ROWS)
        if found is not None and found.rows.num_rows + len(found.removed) <= MOST_CHANGES:
            rows = list(table.encode([found.rows]))
            return _apply(store, table, served, "changes", len(rows) + len(found.removed), rows, found.removed)
    return _compare(store, served, table)


def _compare(store: OnlineStore, served: ViewInfo, table: _TableAt) -> Done | None:
    """Read the whole table once and keep the rows that differ from the served ones."""
    seen: set[str] = set()
    differ: list[tuple[str, bytes]] = []
    rows = table.rows()
    while chunk := list(islice(rows, BATCH_ROWS)):
        keys = [key for key, _ in chunk]
        seen.update(keys)
        there = store.payloads(table.view.name, keys)
        differ += [row for row, old in zip(chunk, there, strict=True) if replaces(row[1], old)]
        if len(differ) > MOST_CHANGES:
            return None
    if 2 * len(differ) > len(seen):
        return None
    after = table.source(served.source).as_of_us
    removed = [key for key, old in store.scan(table.view.schema) if key not in seen and not streamed_after(old, after)]
    return _apply(store, table, served, "comparison", len(seen), differ, removed)


def _apply(
    store: OnlineStore,
    table: _TableAt,
    served: ViewInfo,
    way: str,
    offered: int,
    rows: list[tuple[str, bytes]],
    removed: list[str],
) -> Done:
    written = store.update(table.view.schema, rows, removed, table.source(served.source))
    return way, offered, written.changed, written.removed


def _load(store: OnlineStore, table: _TableAt) -> Done:
    with store.begin(table.view.schema) as load:
        count = load.write(table.rows())
        load.switch(table.source())
    return "full", count, count, 0
