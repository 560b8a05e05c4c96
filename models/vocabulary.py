"""Between the ids of the lake (strings) and the dense indices models compute with."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np


class Vocabulary:
    """An ordered set of string ids with constant-time lookup.

    >>> Vocabulary(["a", "b"]).lookup(["b", "?", "a"])
    array([ 1, -1,  0])
    """

    def __init__(self, ids: Iterable[str]):
        self.ids = np.asarray(list(ids), dtype=object)
        self._index = {identifier: index for index, identifier in enumerate(self.ids)}
        if len(self._index) != len(self.ids):
            seen: set[str] = set()
            twice = next(i for i in self.ids if i in seen or seen.add(i))
            raise ValueError(f"track_id: {twice!r} is listed twice; ids of a vocabulary must be unique")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._index

    def lookup(self, ids: Sequence[str]) -> np.ndarray:
        """int64 [n]: the index of each id, -1 where it is unknown."""
        get = self._index.get
        return np.fromiter((get(i, -1) for i in ids), dtype=np.int64, count=len(ids))

    def known(self, ids: Sequence[str]) -> np.ndarray:
        """Indices of the known ids, in order, the unknown ones left out."""
        found = self.lookup(ids)
        return found[found >= 0]


def tie_order(ids: Sequence[str]) -> np.ndarray:
    """int64 [n]: a fixed rank for every id, by a hash of its text.

    Ids are often handed out in order of arrival or popularity; ties broken by id, or by position in a table sorted
    by it, would favour popular tracks. A checksum of the text has no such order and is the same in every process.
    """
    salted = np.fromiter((zlib.crc32(b"tie:" + str(i).encode()) for i in ids), dtype=np.int64, count=len(ids))
    order = np.empty(len(salted), dtype=np.int64)
    order[np.lexsort((np.asarray(ids, dtype=str), salted))] = np.arange(len(salted))
    return order
