"""One day of the world as a table of rows, before it becomes contract events."""

from __future__ import annotations

import numpy as np

KINDS = (
    "session_start", "search", "play", "skip", "like", "unlike", "playlist_add", "subscription_change", "session_end",
)  # fmt: skip
KIND = {name: code for code, name in enumerate(KINDS)}
REASONS_START = ("trackdone", "clickrow", "fwdbtn", "playbtn", "appload", "remote")
REASONS_END = ("trackdone", "fwdbtn", "endplay", "logout")
DAY_MS = 86_400_000

# Times are epoch milliseconds. ``number`` and ``day`` make the event id, ``ref`` is the number of the play a skip
# belongs to, ``value`` is a skip's position, a playlist's number or a search's result count. -1: does not apply.
ROW = np.dtype([
    ("occurred", np.int64), ("received", np.int64), ("day", np.int32), ("number", np.int32), ("ref", np.int32),
    ("kind", np.int8), ("user", np.int32), ("session", np.int32), ("track", np.int32),
    ("ms_played", np.int64), ("value", np.int64), ("reason_start", np.int8), ("reason_end", np.int8),
    ("activity", np.int8), ("device", np.int8), ("os", np.int8), ("network", np.int8), ("weather", np.int8),
    ("temperature", np.float32),
])  # fmt: skip


def rows(kind: str, count: int, **columns: np.ndarray | int) -> np.ndarray:
    """``count`` rows of one kind; what is not given is -1."""
    table = np.zeros(count, ROW)
    for name in ROW.names:
        table[name] = columns.get(name, -1)
    table["kind"] = KIND[kind]
    return table


def number_rows(table: np.ndarray, day: int) -> np.ndarray:
    """Sort by time and number the rows; a skip's ``ref``, given as a play's ``number`` before, follows along."""
    order = np.lexsort((table["kind"], table["user"], table["occurred"]))
    table = table[order]
    plays = np.flatnonzero(table["kind"] == KIND["play"])
    renumbered = np.full(int(table["number"].max(initial=-1)) + 2, -1, np.int32)
    renumbered[table["number"][plays]] = plays
    has_ref = table["ref"] >= 0
    table["ref"][has_ref] = renumbered[table["ref"][has_ref]]
    table["number"] = np.arange(len(table))
    table["day"] = day
    return table
