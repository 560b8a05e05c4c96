"""RawWriter: contract records in, gzipped JSON Lines of the raw zone out.

Layout: ``raw/events/date=YYYY-MM-DD/hour=HH/<source>-<hash>.jsonl.gz`` by ``received_at`` (UTC),
``raw/<entity>/date=YYYY-MM-DD/<source>-<hash>.jsonl.gz``, and ``raw/_rejected/<source>-<hash>.jsonl.gz``.

A file is named by the hash of its lines, and where one file ends and the next begins depends on the records between
two flushes only. So the same import twice gives the same names, and the second time nothing is written.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import BinaryIO, Self

import msgspec

from lakehouse.events import Envelope
from lakehouse.sources.base import ENTITY_OF, Record, Rejected
from lakehouse.sources.spill import SpillBuffer
from lakehouse.sources.summary import ImportSummary
from lakehouse.storage import Storage, storage_for

MIB = 1024 * 1024
FALLBACK_DATE = date(2020, 1, 1)  # of a catalogue dump that comes without events and without a date
_REJECTED = "raw/_rejected"
_SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class RawWriter:
    """Write records to the raw zone of ``lake`` (a path, an s3:// address or a Storage).

    ``part_bytes`` bounds one file (before compression) and ``memory_bytes`` what is held in memory; above it,
    partitions wait in a temporary folder. Use it as a context manager: leaving it without an error flushes and closes;
    with an error, what was not flushed is dropped.

    >>> with RawWriter("lake", "mysource") as writer:
    ...     writer.write_all(records)
    >>> writer.summary.events
    """

    def __init__(
        self,
        lake: str | os.PathLike[str] | Storage,
        source: str,
        *,
        as_of: date | None = None,
        part_bytes: int = 16 * MIB,
        memory_bytes: int = 128 * MIB,
        compress_level: int = 6,
    ):
        if not _SOURCE_NAME.fullmatch(source):
            raise ValueError(f"source name {source!r}: use lower-case letters, digits, - and _ (it names the files)")
        self._storage = storage_for(lake) if isinstance(lake, (str, os.PathLike)) else lake
        self._source, self._as_of = source, as_of
        self._part_bytes, self._level = part_bytes, compress_level
        self._buffer = SpillBuffer(memory_bytes)
        self._encode = msgspec.json.Encoder().encode
        self._hours: dict[tuple[int, int, int, int], str] = {}
        self.summary = ImportSummary(source)

    def write(self, record: Record, as_of: date | None = None) -> None:
        """Buffer one record. ``as_of`` dates a catalogue entity's dump; default: the last landing date at close."""
        if isinstance(record, Envelope):
            self._buffer.append(self._event_folder(record.received_at), self._encode(record))
            self.summary.events += 1
        elif isinstance(record, Rejected):
            self._buffer.append(_REJECTED, self._encode(record))
            self.summary.reject(record.reason, f"{record.file}:{record.line}")
        else:
            entity = ENTITY_OF[type(record)]
            dated = as_of or self._as_of
            self._buffer.append(f"raw/{entity}/date={dated}" if dated else f"raw/{entity}", self._encode(record))
            self.summary.entities[entity] = self.summary.entities.get(entity, 0) + 1

    def write_all(self, records: Iterable[Record]) -> ImportSummary:
        for record in records:
            self.write(record)
        return self.summary

    def flush(self) -> None:
        """Write what is buffered, except catalogue entities and rejected rows that wait for the close."""
        for folder in self._buffer.pending():
            if "/date=" in folder:
                self._write_folder(folder, folder)

    def close(self) -> ImportSummary:
        """Write everything; closing twice is harmless."""
        try:
            self.flush()
            dated = self._as_of or self.summary.last_date or FALLBACK_DATE
            for folder in self._buffer.pending():
                self._write_folder(folder, folder if folder == _REJECTED else f"{folder}/date={dated}")
        finally:
            self._buffer.close()
        return self.summary

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._buffer.close()

    def _event_folder(self, received: datetime) -> str:
        if received.tzinfo is not UTC:
            received = received.astimezone(UTC)
        hour = (received.year, received.month, received.day, received.hour)
        folder = self._hours.get(hour)
        if folder is None:
            folder = f"raw/events/date={hour[0]:04}-{hour[1]:02}-{hour[2]:02}/hour={hour[3]:02}"
            self._hours[hour] = folder
            self.summary.saw(received.date())
        return folder

    def _write_folder(self, key: str, folder: str) -> None:
        with self._buffer.take(key) as stream:
            for lines in _parts(stream, self._part_bytes):
                path = f"{folder}/{self._source}-{hashlib.blake2b(lines, digest_size=8).hexdigest()}.jsonl.gz"
                if folder == _REJECTED:
                    self.summary.rejected_files.append(path)
                if self._storage.exists(path):
                    self.summary.files_skipped += 1
                else:
                    self._storage.write_atomic(path, gzip.compress(lines, self._level, mtime=0))
                    self.summary.files_written += 1


def _parts(stream: BinaryIO, part_bytes: int) -> Iterator[bytes]:
    """Cut a stream of lines into pieces of whole lines, at most ``part_bytes`` long unless one line is longer."""
    rest = b""
    while True:
        data = stream.read(part_bytes)
        rest += data
        while len(rest) > part_bytes:
            cut = rest.rfind(b"\n", 0, part_bytes) + 1 or rest.find(b"\n") + 1
            if not cut:
                break
            yield rest[:cut]
            rest = rest[cut:]
        if not data:
            break
    if rest:
        yield rest
