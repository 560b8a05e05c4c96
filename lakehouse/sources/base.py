"""What every source shares: the Source protocol, rejected rows, stable ids, reading files by lines.

A source turns a native data set into contract records, one at a time. A row that can't become a record is yielded as
``Rejected`` - with its file and line - rather than skipped.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO

import msgspec

from lakehouse.catalogue import ENTITIES, Artist, Track, User, decode_entity
from lakehouse.events import ContractError, Envelope, decode_event, encode_event

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_REJECTED_TEXT = 8192
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
_TIMES = re.compile(r"\d{4,}-\d\d-\d\dT[\d:.+]+ ?")
_encode = msgspec.json.Encoder().encode


class Rejected(msgspec.Struct, frozen=True):
    """A native row that can't become a record: kept under ``raw/_rejected/``. ``line`` counts from 1."""

    reason: str
    file: str
    line: int
    text: str


class Origin(NamedTuple):
    """Where a record was read."""

    file: str
    line: int
    text: str

    def rejected(self, reason: str) -> Rejected:
        return Rejected(reason, self.file, self.line, self.text[:MAX_REJECTED_TEXT])


Record = Envelope | Track | Artist | User | Rejected
ENTITY_OF: dict[type, str] = {cls: name for name, cls in ENTITIES.items()}


class SourceError(ValueError):
    """The import can't start or go on: the text says what is wrong, where, and what to do."""


class Source(Protocol):
    """One kind of native data. Keyword-only parameters of ``read`` are the options of ``import_source``."""

    name: str
    description: str

    def read(self, path: Path) -> Iterator[Record]:
        """Yield the records of ``path`` in an order that depends on the data alone."""


def checked(record: Record, origin: Origin) -> Record:
    """``record`` if it keeps the contract, else the row as Rejected with what the contract says."""
    try:
        if isinstance(record, Envelope):
            decode_event(encode_event(record))
        else:
            decode_entity(ENTITY_OF[type(record)], _encode(record))
    except ContractError as error:
        return origin.rejected(_TIMES.sub("", str(error)))  # without the value, so that equal reasons count together
    return record


def stable_id(*parts: object) -> str:
    """A 128-bit hex id that depends on ``parts`` only, and shows none of them (event ids outlive an erasure)."""
    text = "\x1f".join(map(str, parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def from_millis(epoch_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=epoch_ms)


def open_text(path: Path, newline: str = "") -> TextIO:
    """UTF-8 text, unzipped when the name ends in .gz; broken bytes become U+FFFD so that one bad row ends nothing."""
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.GzipFile(path), encoding="utf-8-sig", errors="replace", newline=newline)
    return path.open(encoding="utf-8-sig", errors="replace", newline=newline)


def numbered_lines(path: Path, name: str | None = None) -> Iterator[Origin]:
    """Lines of a text file without their line ends; empty lines are left out."""
    shown = name or path.name
    with open_text(path, newline="\n") as stream:  # cut at \n alone: a title may hold \r or U+2028
        for number, line in enumerate(stream, 1):
            line = line.rstrip("\r\n")
            if line:
                yield Origin(shown, number, line)


@contextmanager
def open_parquet(path: Path, columns: Collection[str] = ()) -> Iterator[ParquetFile]:
    """A pyarrow ParquetFile that has ``columns``; raises SourceError."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise SourceError(f"{path}: no Parquet file ({error})") from error
    with file:
        found = file.schema_arrow.names
        for name in columns:
            if name not in found:
                raise SourceError(f"{path}: column {name!r} is missing; found {', '.join(found)}")
        yield file


def find_file(path: Path, *patterns: str) -> Path | None:
    """The first file of folder ``path`` that fits one of ``patterns``, tried in that order."""
    return next((found for pattern in patterns for found in sorted(path.glob(pattern)) if found.is_file()), None)
