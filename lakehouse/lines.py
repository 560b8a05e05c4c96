"""Raw files as lines: read, unzip, split. Many lines lie in one block of bytes, without a Python object for each.

Files are read in pieces of whole lines; pieces of one or of many files make a ``Lines``, the batch that is parsed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, NamedTuple

import numpy as np

BATCH_LINES = 20_000
BATCH_BYTES = 4 << 20
LONGEST_LINE = 16 << 20
_CHUNK = 1 << 20
_BREAK = ord("\n")


class Line(NamedTuple):
    """A line as read: ``fault`` is set when the bytes themselves are bad, ``path`` where lines of several files come
    together (None: all are of the file that is parsed)."""

    number: int
    data: bytes
    fault: str | None = None
    path: str | None = None


class Piece(NamedTuple):
    """Whole lines of a file, of which the first has the number ``first``; ``breaks`` are the places of the line breaks,
    one behind each line. With a ``fault`` it is one line, which is bad."""

    path: str
    first: int
    data: bytes
    breaks: np.ndarray
    fault: str | None = None


@dataclass(frozen=True)
class Lines:
    """Line ``i`` is ``data[starts[i]:ends[i]]``, with the number ``numbers[i]`` in the file ``paths[files[i]]``;
    ``faults`` tells by place which of them are bad as bytes."""

    data: bytes
    starts: np.ndarray
    ends: np.ndarray
    numbers: np.ndarray
    files: np.ndarray
    paths: list[str]
    faults: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: list[Line], path: str) -> Lines:
        """``path`` is the file of lines that bear none."""
        lengths = np.fromiter((len(line.data) for line in lines), np.int64, len(lines))
        ends = np.cumsum(lengths + 1) - 1
        paths = {line.path or path: None for line in lines}
        index = {one: place for place, one in enumerate(paths)}
        return cls(
            b"\n".join(line.data for line in lines),
            ends - lengths,
            ends,
            np.fromiter((line.number for line in lines), np.int64, len(lines)),
            np.fromiter((index[line.path or path] for line in lines), np.int64, len(lines)),
            list(paths),
            {place: line.fault for place, line in enumerate(lines) if line.fault is not None},
        )

    @classmethod
    def of_pieces(cls, pieces: list[Piece]) -> Lines:
        """The lines of ``pieces`` that are not blank."""
        data = b"".join([piece.data for piece in pieces])
        counts = np.fromiter((len(piece.breaks) for piece in pieces), np.int64, len(pieces))
        sizes = np.fromiter((len(piece.data) for piece in pieces), np.int64, len(pieces))
        files = np.repeat(np.arange(len(pieces)), counts)
        before = np.cumsum(counts) - counts  # lines before each piece
        ends = np.concatenate([piece.breaks for piece in pieces]) + (np.cumsum(sizes) - sizes)[files]
        starts = np.append(0, ends[:-1] + 1)
        firsts = np.fromiter((piece.first for piece in pieces), np.int64, len(pieces))
        numbers = np.arange(len(ends)) + (firsts - before)[files]
        faults = {int(place): piece.fault for place, piece in zip(before, pieces, strict=True) if piece.fault}
        lines = cls(data, starts, ends, numbers, files, [piece.path for piece in pieces], faults)
        blank = lines._blank()
        return lines._without(blank) if blank.any() else lines

    def _blank(self) -> np.ndarray:
        blank = self.starts == self.ends
        first = np.frombuffer(self.data, np.uint8)[self.starts]
        for place in np.flatnonzero(first <= ord(" ")).tolist():
            blank[place] = not self.bytes_of(place).strip()
        blank[list(self.faults)] = False
        return blank

    def _without(self, some: np.ndarray) -> Lines:
        kept = np.flatnonzero(~some)
        faults = {int(np.searchsorted(kept, place)): fault for place, fault in self.faults.items()}
        arrays = (self.starts[kept], self.ends[kept], self.numbers[kept], self.files[kept])
        return Lines(self.data, *arrays, self.paths, faults)

    def __len__(self) -> int:
        return len(self.starts)

    def bytes_of(self, place: int) -> bytes:
        return self.data[self.starts[place] : self.ends[place]]

    def line(self, place: int) -> Line:
        path = self.paths[self.files[place]]
        return Line(int(self.numbers[place]), self.bytes_of(place), self.faults.get(place), path)

    def part(self, start: int, stop: int) -> Lines:
        stop = min(stop, len(self))
        low, some = self.starts[start], slice(start, stop)
        return Lines(
            self.data[low : self.ends[stop - 1]],
            self.starts[some] - low,
            self.ends[some] - low,
            self.numbers[some],
            self.files[some],
            self.paths,
            {place - start: fault for place, fault in self.faults.items() if start <= place < stop},
        )

    def block(self, places: np.ndarray) -> bytes:
        """The lines at the ascending ``places`` with line breaks between them, copied run by run."""
        if not len(places):
            return b""
        starts, ends = self.starts[places], self.ends[places]
        gaps = np.flatnonzero(starts[1:] != ends[:-1] + 1)
        firsts, lasts = starts[np.append(0, gaps + 1)], ends[np.append(gaps, -1)]
        return b"\n".join([self.data[a:b] for a, b in zip(firsts.tolist(), lasts.tolist(), strict=True)])


def batches_of_lines(lines: Iterable[Line], path: str) -> Iterator[Lines]:
    """BATCH_LINES lines at a time; ``path`` is the file of lines that bear none."""
    lines = iter(lines)
    while some := list(islice(lines, BATCH_LINES)):
        yield Lines.of(some, path)


def batches_of_pieces(pieces: Iterable[Piece]) -> Iterator[Lines]:
    """At most BATCH_LINES lines at a time, of as many pieces as make about BATCH_BYTES."""
    some: list[Piece] = []
    size = 0
    for piece in pieces:
        some.append(piece)
        size += len(piece.data)
        if size >= BATCH_BYTES or len(some) >= BATCH_LINES:
            yield from _cut(Lines.of_pieces(some))
            some, size = [], 0
    if some:
        yield from _cut(Lines.of_pieces(some))


def _cut(lines: Lines) -> Iterator[Lines]:
    if len(lines) <= BATCH_LINES:
        if len(lines):
            yield lines
        return
    for start in range(0, len(lines), BATCH_LINES):
        yield lines.part(start, start + BATCH_LINES)


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Lines of a stream, as ``read_pieces`` has them, one by one."""
    for piece in read_pieces(stream, ""):
        if piece.fault:
            yield Line(piece.first, piece.data[:-1], piece.fault)
            continue
        for number, data in enumerate(piece.data[:-1].split(b"\n"), piece.first):
            if data.strip():
                yield Line(number, data)


def read_pieces(stream: BinaryIO, path: str) -> Iterator[Piece]:
    """Lines of a plain or gzipped stream, numbered from 1; a broken stream ends in one line that says why.

    Lines before the break are delivered: a truncated upload loses only what never arrived. Of a line that is longer
    than LONGEST_LINE only the beginning is kept, so that memory is bounded whatever a file holds.
    """
    number, rest, empty, too_long = 1, b"", True, False
    try:
        for chunk in _decompressed(stream):
            empty = False
            if too_long:  # until its end
                _, found, chunk = chunk.partition(b"\n")
                too_long = not found
            end = chunk.rfind(b"\n") + 1
            if end:
                data = rest + chunk[:end]
                breaks = np.flatnonzero(np.frombuffer(data, np.uint8) == _BREAK)
                yield Piece(path, number, data, breaks)
                number += len(breaks)
                rest = chunk[end:]
            else:
                rest += chunk
            if len(rest) > LONGEST_LINE:
                yield _one_line(path, number, rest[:_CHUNK], f"line longer than {LONGEST_LINE >> 20} MiB")
                number += 1
                rest, too_long = b"", True
    except _BrokenStream as broken:
        yield _one_line(path, number, rest, str(broken))
        return
    if rest:
        yield _one_line(path, number, rest)
    elif empty:
        yield _one_line(path, 0, b"", "empty file")


def _one_line(path: str, number: int, data: bytes, fault: str | None = None) -> Piece:
    return Piece(path, number, data + b"\n", np.array([len(data)]), fault)


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
