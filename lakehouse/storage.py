"""The few file operations the raw zone needs, the same on a local folder and on S3.

Paths are relative to the root, with ``/``. Nothing else in soundlake should care where a raw dump lies.

>>> storage = storage_for("lake")                      # or "s3://bucket/prefix"
>>> storage.write_atomic("raw/events/date=2026-01-01/hour=00/a.jsonl.gz", data)
>>> [entry.path for entry in storage.list("raw/events", ".jsonl.gz")]
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from lakehouse.storage_connection import S3Connection

TEMPORARY_SUFFIX = ".tmp"


class StorageError(OSError):
    """A store that can't be reached or does not allow what was asked; the text says what to check."""


class Entry(NamedTuple):
    """One stored file: ``version`` changes when the content does (mtime in ns, or the ETag)."""

    path: str
    size: int
    version: str


class Storage(Protocol):
    """What ``storage_for`` returns."""

    root: str

    def list(self, prefix: str = "", suffix: str = "", after: str = "") -> Iterator[Entry]:
        """Files below the folder ``prefix`` whose name ends in ``suffix``; none without such a folder.

        The order is fixed; ``after`` goes on behind that path, whether a file still lies there or not.
        """

    def open_read(self, path: str) -> BinaryIO:
        """A binary stream; raises FileNotFoundError."""

    def write_atomic(self, path: str, data: bytes) -> None:
        """Readers see the whole file or none; an existing file is replaced."""

    def exists(self, path: str) -> bool: ...

    def delete(self, path: str) -> None:
        """No error when the file is already gone."""


class LocalStorage:
    """A folder of this machine (or of a mounted share)."""

    def __init__(self, root: str | os.PathLike[str]):
        self._root = Path(root).absolute()
        self.root = str(self._root)

    def list(self, prefix: str = "", suffix: str = "", after: str = "") -> Iterator[Entry]:
        start = self._inside(prefix)
        if start.is_dir():
            yield from self._walk(start, prefix.strip("/"), suffix, tuple(after.strip("/").split("/")) if after else ())

    def _walk(self, folder: Path, relative: str, suffix: str, after: tuple[str, ...]) -> Iterator[Entry]:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{relative}/{entry.name}" if relative else entry.name
            parts = tuple(path.split("/"))
            if parts < after[: len(parts)]:
                continue
            if entry.is_dir():
                yield from self._walk(Path(entry.path), path, suffix, after)
            elif parts == after:
                continue
            elif entry.name.endswith(suffix) and not entry.name.endswith(TEMPORARY_SUFFIX):
                status = entry.stat()
                yield Entry(path, status.st_size, str(status.st_mtime_ns))

    def open_read(self, path: str) -> BinaryIO:
        return open(self._inside(path), "rb")

    def write_atomic(self, path: str, data: bytes) -> None:
        target = self._inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
        try:
            with open(temporary, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())  # or a power cut could leave an empty file under the final name
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def exists(self, path: str) -> bool:
        return self._inside(path).is_file()

    def delete(self, path: str) -> None:
        self._inside(path).unlink(missing_ok=True)

    def _inside(self, path: str) -> Path:
        target = Path(os.path.normpath(self._root / path.lstrip("/")))
        if not target.is_relative_to(self._root):
            raise ValueError(f"path {path!r} leaves the storage root {self.root}: give a path relative to the root")
        return target


def storage_for(uri: str | os.PathLike[str], s3: S3Connection | None = None, client: Any = None) -> Storage:
    """The storage behind a lake address: a local path, ``file:///path``, or ``s3://bucket/prefix`` (``s3a`` too).

    ``s3`` says how to reach the bucket (``Settings.s3``; default: by the usual AWS variables alone), ``client`` is a
    boto3 client to use instead of an own one. Raises ValueError for any other scheme.
    """
    text = os.fspath(uri)
    scheme, found, _ = text.partition("://")
    if not found:
        return LocalStorage(text)
    if scheme == "file":
        return LocalStorage(unquote(urlsplit(text).path))
    if scheme in ("s3", "s3a"):
        from lakehouse.storage_s3 import S3Storage

        return S3Storage(text, s3, client)
    raise ValueError(
        f"lake address {text!r} has the unknown scheme {scheme!r}: give a local path or s3://bucket/prefix"
    )
