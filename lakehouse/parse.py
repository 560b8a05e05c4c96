"""Raw files to rows: read, unzip, split, decode and check each line. Used by batch and stream alike; no Spark in here.

Every line gives exactly one row: a good one, or a fault with its reason. Nothing raises on bad data.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from msgspec import Struct

from lakehouse.catalogue import decode_entity
from lakehouse.columnar import surely_good
from lakehouse.events import ContractError, decode_event
from lakehouse.rows import Line, RawFile, entity_batch, event_batch, event_columns_batch, fault_batch

BATCH_LINES = 10_000
LONGEST_LINE = 16 << 20
_CHUNK = 1 << 20

Pseudonym = Callable[[str], str]
Parsed = tuple[pa.RecordBatch | None, list[tuple[Line, str]]]


def read_lines(stream: BinaryIO, path: str | None = None) -> Iterator[Line]:
    """Lines of a plain or gzipped stream, numbered from 1; a broken stream ends in one line that says why.

    Lines before the break are delivered: a truncated upload loses only what never arrived. Of a line that is longer
    than LONGEST_LINE only the beginning is kept, so that memory is bounded whatever a file holds.
    """
    number, rest, empty, too_long = 0, b"", True, False
    try:
        for chunk in _decompressed(stream):
            empty = False
            if too_long:  # until its end
                _, found, chunk = chunk.partition(b"\n")
                too_long = not found
            parts = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
            rest = parts.pop()
            for part in parts:
                number += 1
                if part.strip():
                    yield Line(number, part, None, path)
            if len(rest) > LONGEST_LINE:
                number += 1
                yield Line(number, rest[:_CHUNK], f"line longer than {LONGEST_LINE >> 20} MiB", path)
                rest, too_long = b"", True
    except _BrokenStream as broken:
        yield Line(number + 1, rest, str(broken), path)
        return
    if rest.strip():
        yield Line(number + 1, rest, None, path)
    elif empty:
        yield Line(0, b"", "empty file", path)


class _BrokenStream(Exception):
    pass


def _decompressed(stream: BinaryIO) -> Iterator[bytes]:
    first = stream.read(_CHUNK)
    if first[:2] != b"\x1f\x8b":
        while first:
            yield first
            first = stream.read(_CHUNK)
        return
    engine, pending, full = zlib.decompressobj(wbits=31), first, False
    while pending or full:
        if engine.eof:  # a further member of the same file, or the zeros that some tools pad it with
            pending = pending.lstrip(b"\0")
            if not pending:
                pending = stream.read(_CHUNK)
                continue
            engine = zlib.decompressobj(wbits=31)
        try:
            data = engine.decompress(pending, _CHUNK)  # bounded: a small file may unpack to a thousand times its size
        except zlib.error as error:
            raise _BrokenStream(f"corrupt gzip: {error}") from None
        if data:
            yield data
        full = len(data) == _CHUNK and not engine.eof
        pending = engine.unused_data if engine.eof else engine.unconsumed_tail
        if not pending and not full:
            pending = stream.read(_CHUNK)
    if not engine.eof:
        raise _BrokenStream("truncated gzip: the file ends in the middle of its data")


@lru_cache(maxsize=2)
def pseudonymiser(key: bytes) -> Pseudonym:
    """user_id -> pseudonym: the first 128 bits of HMAC-SHA256, in hex."""

    @lru_cache(maxsize=200_000)
    def pseudonym(user_id: str) -> str:
        return hmac.new(key, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]

    return pseudonym


def _decode(file: RawFile, line: Line) -> Struct:
    if line.fault:
        raise ContractError(line.fault)
    try:
        line.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContractError(f"wrong encoding: not UTF-8 at byte {error.start} of the line") from None
    if file.entity == "events":
        return decode_event(line.data, file.landing_date)
    return decode_entity(file.entity, line.data)


def parse(file: RawFile, stream: BinaryIO, key: bytes) -> Iterator[tuple[pa.RecordBatch | None, pa.RecordBatch | None]]:
    """-> pairs (good rows, faults) of at most BATCH_LINES lines; either is None when there are none.

    Good rows have the columns of bronze.events or bronze.catalogue, faults those of ``FAULT_SCHEMA``.
    """
    return parse_lines(file, read_lines(stream), key)


def parse_lines(
    file: RawFile, lines: Iterable[Line], key: bytes
) -> Iterator[tuple[pa.RecordBatch | None, pa.RecordBatch | None]]:
    """As ``parse``, for lines that were read elsewhere: records of a broker, or small files read together.

    ``file`` tells the entity and the landing date of all of them, and the path of those that bear none.
    """
    pseudonym = pseudonymiser(key)
    lines = iter(lines)
    while some := list(islice(lines, BATCH_LINES)):
        good, bad = (_events if file.entity == "events" else _entities)(file, some, pseudonym)
        yield good, fault_batch(file, bad) if bad else None


def _events(file: RawFile, lines: list[Line], pseudonym: Pseudonym) -> Parsed:
    """By columns where there is no doubt, line by line where there is."""
    whole = [place for place, line in enumerate(lines) if line.fault is None]
    places, table = surely_good([lines[place].data for place in whole], file.landing_date)
    if table is None:
        good, bad = _one_by_one(file, lines)
        return (event_batch(file, good, pseudonym) if good else None), bad
    if len(places) == len(lines):
        return event_columns_batch(file, lines, table, pseudonym), []
    sure = np.asarray(whole)[places]
    rows = event_columns_batch(file, [lines[place] for place in sure], table, pseudonym)
    doubtful = np.setdiff1d(np.arange(len(lines)), sure)
    good, bad = _one_by_one(file, [lines[place] for place in doubtful])
    if good:
        refused = {id(line) for line, _ in bad}
        accepted = [place for place in doubtful if id(lines[place]) not in refused]
        rows = pa.concat_batches([rows, event_batch(file, good, pseudonym)])
        rows = rows.take(pa.array(np.argsort(np.concatenate([sure, accepted]))))
    return rows, bad


def _entities(file: RawFile, lines: list[Line], pseudonym: Pseudonym) -> Parsed:
    good, bad = _one_by_one(file, lines)
    return (entity_batch(file, good, pseudonym) if good else None), bad


def _one_by_one(file: RawFile, lines: list[Line]) -> tuple[list[tuple[Line, Struct]], list[tuple[Line, str]]]:
    good, bad = [], []
    for line in lines:
        try:
            good.append((line, _decode(file, line)))
        except ContractError as error:
            bad.append((line, str(error)))
    return good, bad


def utc_now() -> datetime:
    return datetime.now(UTC)
