"""Stored memories in the lake: read for requests, and what an update would write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse import arrow, delta_log
from lakehouse.settings import Settings
from lakehouse.tables.gold import LISTENER_MEMORY, SEQUENCES
from models.recommend.sequence.memory_table import SCHEMA, Space, Stored, changed_rows, newest_play, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

_PLAYS = ("user_key", "track_ids", "occurred_at", "clock")


def memories(settings: Settings, space: Space, users: Sequence[str] | None = None) -> dict[str, Stored]:
    """The stored rows of ``space`` by listener, of ``users`` or of everybody; who has none is not in it."""
    if delta_log.open_table(settings, LISTENER_MEMORY) is None:
        return {}
    where = arrow.text("space") == space.name
    if users is not None:
        where &= arrow.text("user_key").isin(list(users))
    rows = arrow.dataset(settings, LISTENER_MEMORY).scanner(filter=where, batch_size=arrow.BATCH_ROWS)
    return read_rows(rows.to_batches(), space)


def pending(settings: Settings, space: Space, updated_at: datetime) -> pa.Table:
    """Rows, in the columns of the table, of listeners with a session that has ended since their row was made.

    A session has ended when, by the newest play of the lake, its last play began longer ago than the pause that ends
    one. What arrives late is taken in by the next update.
    """
    import pyarrow as pa

    now = newest_play(arrow.batches(settings, SEQUENCES, ("occurred_at", "clock")))
    stored = memories(settings, space)
    changed = changed_rows(arrow.batches(settings, SEQUENCES, _PLAYS), stored, now, space, updated_at)
    return pa.Table.from_batches(changed, SCHEMA)


def bad_vectors(settings: Settings) -> list[str]:
    """Listener and fault of each row whose vector is not finite, is all zeros, or differs in width from its space's."""
    import numpy as np

    bad, widths = [], {}
    for batch in arrow.batches(settings, LISTENER_MEMORY, ("user_key", "space", "vector")):
        for row in batch.to_pylist():
            vector = np.asarray([np.nan if x is None else x for x in row["vector"]], np.float32)
            width = widths.setdefault(row["space"], len(vector))
            if len(vector) != width:
                bad.append(f"{row['user_key']}: {len(vector)} numbers, others of its space have {width}")
            elif not np.isfinite(vector).all():
                bad.append(f"{row['user_key']}: not finite")
            elif not vector.any():
                bad.append(f"{row['user_key']}: all zeros")
    return bad


def from_the_future(settings: Settings, limit: datetime) -> list[str]:
    """Listener and time of each row whose latest play, or whose update, is later than ``limit``."""
    out = []
    for batch in arrow.batches(settings, LISTENER_MEMORY, ("user_key", "as_of", "updated_at")):
        for row in batch.to_pylist():
            late = [name for name in ("as_of", "updated_at") if row[name] is not None and row[name] > limit]
            out += [f"{row['user_key']}: {name} {row[name]:%Y-%m-%d %H:%M:%S}" for name in late]
    return out
