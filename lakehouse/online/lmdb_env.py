"""One LMDB environment a folder and process: LMDB forbids a second one, and its map may only grow while no one reads.

A read transaction lives for one read: py-lmdb keeps its reader slot and renews it, which costs a microsecond. A reader
that rests therefore sees the newest commit at its next read, and never keeps old pages from being used again.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import lmdb

from lakehouse.online.store import StoreFull, StoreUnavailable

FIRST_MAP_BYTES = 64 * 2**20
MAX_READERS = 1024

_T = TypeVar("_T")
_OPEN: dict[str, Environment] = {}
_REGISTRY = threading.Lock()


class Environment:
    """Use ``acquire`` and ``release``.

    ``reading`` is held during every read, so that the map can grow in between; ``_writing`` is taken before it where
    both are needed.
    """

    def __init__(self, path: str):
        self.path = path
        self.users = 0
        self.reading = threading.Lock()
        self._writing = threading.RLock()
        writable = os.access(path, os.W_OK)
        try:
            self._env = lmdb.open(
                path,
                FIRST_MAP_BYTES,
                readonly=not writable,
                max_readers=MAX_READERS,
                max_spare_txns=2,
                readahead=False,
                mode=0o640,
            )
        except lmdb.Error as error:
            raise StoreUnavailable(f"online store {path}: {error}") from error

    @classmethod
    def acquire(cls, path: str | os.PathLike[str], create: bool) -> Environment:
        """The process's environment of a folder; raises StoreUnavailable."""
        folder = Path(path).expanduser().resolve()
        if create:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreUnavailable(f"online store {folder}: {error.strerror}") from error
        elif not (folder / "data.mdb").exists():
            raise StoreUnavailable(f"no online store in {folder}; `soundlake online materialise` makes it")
        with _REGISTRY:
            found = _OPEN.get(str(folder))
            if found is None:
                found = _OPEN[str(folder)] = cls(str(folder))
            found.users += 1
        return found

    def release(self) -> None:
        with _REGISTRY:
            self.users -= 1
            if not self.users:
                del _OPEN[self.path]
                with self._writing, self.reading:
                    self._env.close()

    # ------------------------------------------------------------------ transactions
    def begin_read(self) -> lmdb.Transaction:
        """A transaction on the newest commit; call with ``reading`` held and ``abort`` it before letting go."""
        try:
            return self._env.begin()
        except lmdb.MapResizedError:  # another process let the file grow
            self.reading.release()
            try:
                with self._writing:
                    self._resize(0)
            finally:
                self.reading.acquire()
            return self.begin_read()

    def write(self, change: Callable[[lmdb.Transaction], _T]) -> _T:
        """Run ``change`` in one write transaction, again from its start after the map had to grow.

        Raises StoreFull when the disk has no room; what was committed before stays as it is.
        """
        with self._writing:
            while True:
                try:
                    with self._env.begin(write=True) as txn:
                        return change(txn)
                except lmdb.MapFullError:
                    self._resize(2 * self._env.info()["map_size"])
                except lmdb.MapResizedError:
                    self._resize(0)
                except lmdb.Error as error:
                    raise self._told(error) from error

    def _resize(self, size: int) -> None:
        with self.reading:  # nobody of this process is in a transaction now
            try:
                self._env.set_mapsize(size)
            except (lmdb.Error, MemoryError) as error:
                raise StoreFull(f"online store {self.path}: its map can not grow to {size:,} bytes: {error}") from error

    def _told(self, error: lmdb.Error) -> Exception:
        text = str(error)
        if isinstance(error, lmdb.DiskError) or any(
            os.strerror(code) in text for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)
        ):  # EIO is also what LMDB says of a write that the system cut short for want of room
            return StoreFull(
                f"online store {self.path}: no room on its disk ({self.bytes / 1e6:,.1f} MB taken; {text}); what was "
                "served before is served on. Free some room, then run `soundlake online materialise`"
            )
        if isinstance(error, lmdb.ReadonlyError):
            return StoreUnavailable(f"online store {self.path}: this user may not write there")
        return StoreUnavailable(f"online store {self.path}: {text}")

    def forget_dead_readers(self) -> int:
        """Free the slots of readers that were killed, whose pages could not be used again otherwise."""
        return self._env.reader_check()

    @property
    def bytes(self) -> int:
        """Bytes of the data file on disk."""
        return (Path(self.path) / "data.mdb").stat().st_size
