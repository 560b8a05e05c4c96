"""Ordered listening sequences without a clock: who played what, in which order, and nothing else.

Reads a folder with ``sequences.lst(.gz)`` (one line a user: ``user,track:track:...``) and, beside it if there,
``track_artist_album.csv(.gz)``; or the same as parquet: ``train.parquet`` (columns user_id, position, track_id) with
``catalogue.parquet`` (track_id, artist_id, album_id). Play number p of every user is put at base day + p x 240 s and
marked ``clock="synthetic"``: the order is true, the time of day means nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.catalogue import Artist, Track
from lakehouse.events import Play, make_event
from lakehouse.sources.base import (
    Origin,
    Record,
    Rejected,
    SourceError,
    checked,
    find_file,
    numbered_lines,
    open_parquet,
    open_text,
    stable_id,
)
from lakehouse.sources.clocks import BASE_DAY, SECONDS_PER_PLAY, Clock

if TYPE_CHECKING:
    from pyarrow import RecordBatch

MAX_POSITION = 10_000_000  # 76 years of plays at the usual step


class Sequences:
    """Options: ``dataset`` keeps the event ids of two data sets apart when their users and tracks share numbers;
    ``base_day`` (ISO date) and ``seconds_per_play`` set the synthetic clock."""

    name = "sequences"
    description = (
        "ordered plays per user without a clock: sequences.lst(.gz) or train.parquet, with an optional catalogue"
    )

    def read(
        self,
        path: Path,
        *,
        dataset: str = "",
        base_day: str = BASE_DAY.isoformat(),
        seconds_per_play: float = SECONDS_PER_PLAY,
    ) -> Iterator[Record]:
        plays, catalogue = _find(path)
        clock = _clock(base_day, seconds_per_play)
        if catalogue is not None:
            yield from _catalogue(catalogue)
        read = _parquet_plays if plays.suffix == ".parquet" else _line_plays
        for origin, user, position, track in read(plays):
            if isinstance(track, Rejected):
                yield track
                continue
            if position > MAX_POSITION:
                yield origin.rejected(f"position is above {MAX_POSITION}")
                continue
            at = clock.at(position)
            event = make_event(
                "play",
                event_id=stable_id(self.name, dataset, user, position, track),
                user_id=user,
                occurred_at=at,
                received_at=at,
                clock="synthetic",
                payload=Play(track_id=track),
            )
            yield checked(event, origin)


def _clock(base_day: str, seconds: float) -> Clock:
    try:
        start = date.fromisoformat(str(base_day))
    except ValueError:
        raise SourceError(f"option base_day={base_day!r} is no date: write it as {BASE_DAY}") from None
    try:
        step = float(seconds)
    except ValueError:
        step = 0.0
    if not 0 < step <= 86_400:
        raise SourceError(f"option seconds_per_play={seconds!r}: give seconds above 0, like {SECONDS_PER_PLAY:g}")
    return Clock(None, None, start, step)


_Row = tuple[Origin, str, int, "str | Rejected"]


def _find(path: Path) -> tuple[Path, Path | None]:
    """-> (file of plays, file of the catalogue or None)."""
    plays = path
    if path.is_dir():
        found = find_file(path, "sequences.lst", "sequences.lst.gz", "train.parquet")
        if found is None:
            raise SourceError(f"{path}: neither sequences.lst, sequences.lst.gz nor train.parquet is in this folder")
        plays = found
    patterns = ("catalogue.parquet",) if plays.suffix == ".parquet" else ("track_artist_album.csv*",)
    return plays, find_file(plays.parent, *patterns)


def _line_plays(path: Path) -> Iterator[_Row]:
    seen: set[str] = set()
    for origin in numbered_lines(path):
        user, comma, tracks = origin.text.partition(",")
        bad = None
        if not comma or not user:
            bad = "line is not 'user,track:track:...'"
        elif user in seen:
            bad = "user has a second line, so the order of their plays is not known"
        if bad:
            yield origin, user, 0, origin.rejected(bad)
            continue
        seen.add(user)
        for position, track in enumerate(tracks.split(":")):
            if track:
                yield origin, user, position, track
            else:
                yield origin, user, position, origin.rejected("empty track id in the sequence")


def _parquet_plays(path: Path) -> Iterator[_Row]:
    number = 0
    for batch in _batches(path, ["user_id", "position", "track_id"]):
        for user, position, track in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            number += 1
            origin = Origin(path.name, number, f"{user},{position},{track}")
            if user is None or track is None or position is None or int(position) < 0:
                yield origin, "", 0, origin.rejected("user_id, track_id or position is null or negative")
            else:
                yield origin, str(user), int(position), str(track)


def _catalogue(path: Path) -> Iterator[Record]:
    artists: set[str] = set()
    for origin, track, artist, album in _catalogue_rows(path):
        if not track:
            yield origin.rejected("catalogue row without a track_id")
            continue
        if artist and artist not in artists:
            artists.add(artist)
            yield checked(Artist(artist_id=artist), origin)
        yield checked(Track(track_id=track, artist_id=artist or None, album_id=album or None), origin)


def _catalogue_rows(path: Path) -> Iterator[tuple[Origin, str, str, str]]:
    columns = ["track_id", "artist_id", "album_id"]
    if path.suffix == ".parquet":
        number = 0
        for batch in _batches(path, columns):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                values = ["" if value is None else str(value) for value in row]
                yield Origin(path.name, number, ",".join(values)), *values
        return
    with open_text(path) as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise SourceError(
                f"{path}: column {missing[0]!r} is missing; the first line must name {', '.join(columns)}"
            )
        for row in reader:
            values = [row[name] or "" for name in columns]
            yield Origin(path.name, reader.line_num, ",".join(values)), *values


def _batches(path: Path, columns: list[str]) -> Iterator[RecordBatch]:
    """Arrow record batches with these columns in this order."""
    with open_parquet(path, columns) as file:
        for batch in file.iter_batches(batch_size=65536, columns=columns):
            yield batch.select(columns)
