"""Raw lines to rows: decode and check each line. Used by batch and stream alike; no Spark in here.

Every line gives exactly one row: a good one, or a fault with its reason. Nothing raises on bad data.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from msgspec import Struct

from lakehouse.catalogue import decode_entity
from lakehouse.columnar import surely_good
from lakehouse.events import ContractError, decode_event
from lakehouse.lines import Line, Lines, Piece, batches_of_lines, batches_of_pieces, read_pieces
from lakehouse.rows import RawFile, entity_batch, event_batch, event_columns_batch, fault_batch

Pseudonym = Callable[[str], str]
Parsed = tuple[pa.RecordBatch | None, pa.RecordBatch | None]
"""Good rows with the columns of bronze.events or bronze.catalogue, and faults with those of ``FAULT_SCHEMA``; either
is None when there are none."""

_Judged = tuple[pa.RecordBatch | None, list[tuple[Line, str]]]


@lru_cache(maxsize=2)
def pseudonymiser(key: bytes) -> Pseudonym:
    """user_id -> pseudonym: the first 128 bits of HMAC-SHA256, in hex."""

    @lru_cache(maxsize=200_000)
    def pseudonym(user_id: str) -> str:
        return hmac.new(key, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]

    return pseudonym


def parse(file: RawFile, stream: BinaryIO, key: bytes) -> Iterator[Parsed]:
    """The rows of a file, in batches."""
    return parse_pieces(file, read_pieces(stream, file.path), key)


def parse_pieces(file: RawFile, pieces: Iterable[Piece], key: bytes) -> Iterator[Parsed]:
    """As ``parse``, for the pieces of several files; ``file`` tells the entity and the landing date of them all."""
    return _parse(file, batches_of_pieces(pieces), key)


def parse_lines(file: RawFile, lines: Iterable[Line], key: bytes) -> Iterator[Parsed]:
    """As ``parse``, for lines that were read elsewhere, such as records of a broker."""
    return _parse(file, batches_of_lines(lines, file.path), key)


def _parse(file: RawFile, batches: Iterable[Lines], key: bytes) -> Iterator[Parsed]:
    pseudonym = pseudonymiser(key)
    for lines in batches:
        good, bad = (_events if file.entity == "events" else _entities)(file, lines, pseudonym)
        yield good, fault_batch(file, bad) if bad else None


def _events(file: RawFile, lines: Lines, pseudonym: Pseudonym) -> _Judged:
    """By columns where there is no doubt, line by line where there is."""
    sure, table = surely_good(lines, file.landing_date)
    rows = event_columns_batch(file, lines, sure, table, pseudonym) if table is not None else None
    if len(sure) == len(lines):
        return rows, []
    accepted, good, bad = _one_by_one(file, lines, np.delete(np.arange(len(lines)), sure))
    if not good:
        return rows, bad
    others = event_batch(file, good, pseudonym)
    if rows is None:
        return others, bad
    order = np.argsort(np.concatenate([sure, accepted]))
    return pa.concat_batches([rows, others]).take(pa.array(order)), bad


def _entities(file: RawFile, lines: Lines, pseudonym: Pseudonym) -> _Judged:
    _, good, bad = _one_by_one(file, lines, np.arange(len(lines)))
    return (entity_batch(file, good, pseudonym) if good else None), bad


def _one_by_one(
    file: RawFile, lines: Lines, places: np.ndarray
) -> tuple[list[int], list[tuple[Line, Struct]], list[tuple[Line, str]]]:
    """-> (places of the good lines, these lines as decoded, the bad ones with their reasons)."""
    accepted, good, bad = [], [], []
    for place in places.tolist():
        line = lines.line(place)
        try:
            good.append((line, _decode(file, line)))
            accepted.append(place)
        except ContractError as error:
            bad.append((line, str(error)))
    return accepted, good, bad


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


def utc_now() -> datetime:
    return datetime.now(UTC)
