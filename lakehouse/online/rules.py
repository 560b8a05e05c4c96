"""Which of two rows of one key is served: the rules that every store keeps."""

from __future__ import annotations

from lakehouse.online.codec import AS_OF_OFFSET, HEADER, STREAMED, header
from lakehouse.online.rows import RowError

MAX_KEY_BYTES = 511
"""LMDB's limit for a whole key: view name, version and the row's key."""


def same_values(one: bytes, other: bytes) -> bool:
    """Whether two rows of one schema differ in nothing but their times and flags."""
    return one[8:AS_OF_OFFSET] == other[8:AS_OF_OFFSET] and one[HEADER.size :] == other[HEADER.size :]


def replaces(new: bytes, old: bytes | None) -> bool:
    """Whether a row of the batch is to be written over ``old``: not over a later one of the stream, not over its equal.

    Rows that expire are written again for their later ``as_of``.
    """
    if old is None:
        return True
    after, before = header(new), header(old)
    if before.flags & STREAMED and before.as_of_us > after.as_of_us:
        return False
    lasting = not (after.expires_us or before.expires_us) or after.as_of_us == before.as_of_us
    return not (lasting and same_values(new, old))


def not_older(new: bytes, old: bytes | None) -> bool:
    """Whether a row of the stream, or of a load, is to be written over ``old``."""
    return old is None or header(new).as_of_us >= header(old).as_of_us


def streamed_after(payload: bytes, moment_us: int) -> bool:
    """Whether the stream wrote this row, about a later moment."""
    found = header(payload)
    return bool(found.flags & STREAMED) and found.as_of_us > moment_us


def newest_streamed(served: bytes | None, batch: bytes) -> bytes:
    """The row of a new version: the batch's, unless the stream has written a later one to the served version."""
    return served if served is not None and streamed_after(served, header(batch).as_of_us) else batch


def key_bytes(view: str, key: str) -> bytes:
    """The key in UTF-8; raises RowError if it is empty or too long."""
    data = key.encode()
    room = MAX_KEY_BYTES - len(view) - 6
    if not 0 < len(data) <= room:
        raise RowError(f"view {view}: key {key!r:.80} has {len(data)} bytes; 1 to {room} fit")
    return data
