"""A bounded buffer of lines by key: what does not fit in memory waits in a temporary folder."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


class SpillBuffer:
    """Append lines under keys, take each key's lines back in the order they came."""

    def __init__(self, memory_bytes: int):
        self._limit, self._held = memory_bytes, 0
        self._memory: dict[str, bytearray] = {}
        self._spilled: dict[str, str] = {}  # key -> file of concatenated gzip members
        self._folder: str | None = None
        self._numbers = itertools.count()

    def append(self, key: str, line: bytes) -> None:
        lines = self._memory.get(key)
        if lines is None:
            lines = self._memory[key] = bytearray()
        lines += line
        lines += b"\n"
        self._held += len(line) + 1
        if self._held > self._limit:
            self._spill()

    def pending(self) -> list[str]:
        return sorted(self._memory.keys() | self._spilled.keys())

    @contextmanager
    def take(self, key: str) -> Iterator[BinaryIO]:
        """The lines of ``key`` as one stream; they are gone from the buffer afterwards."""
        lines = self._memory.pop(key, None)
        if lines is not None:
            self._held -= len(lines)
        file = self._spilled.pop(key, None)
        if file is None:
            yield io.BytesIO(lines or b"")
            return
        if lines:
            self._append_to(file, lines)
        with gzip.open(file, "rb") as stream:
            yield stream
        os.unlink(file)

    def close(self) -> None:
        """Drop everything."""
        self._memory.clear()
        self._spilled.clear()
        self._held = 0
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="soundlake-raw-")
        for key, lines in self._memory.items():
            file = self._spilled.get(key)
            if file is None:
                file = self._spilled[key] = os.path.join(self._folder, f"{next(self._numbers)}.gz")
            self._append_to(file, lines)
        self._memory.clear()
        self._held = 0

    @staticmethod
    def _append_to(file: str, lines: bytearray) -> None:
        with open(file, "ab") as stream:
            stream.write(gzip.compress(lines, 1))
