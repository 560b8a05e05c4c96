"""What the models learn from: every listener's plays in order, as dense indices.

Read from ``gold.sequences`` and ``gold.track_features`` as Arrow record batches, one batch at a time: what stays in
memory is the catalogue and about 4 to 15 bytes a play, never the rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.vocabulary import Vocabulary

ACOUSTIC = ("danceability", "energy", "loudness", "speechiness", "acousticness", "instrumentalness", "liveness",
            "valence", "tempo")  # fmt: skip
SEQUENCE_COLUMNS = ("user_key", "track_ids", "occurred_at", "local_hours", "devices", "clock")
TRACK_COLUMNS = ("track_id", "artist_id", "album_id", "genre", *ACOUSTIC)
UNKNOWN = -1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Catalogue:
    """The tracks: ids and attributes, one row a track.

    ``artist``, ``album`` and ``genre`` are int32 [I] codes into the name arrays beside them, -1 where unknown;
    ``acoustic`` is float32 [I, 9] in the order of ``ACOUSTIC``, NaN where unknown.
    """

    ids: np.ndarray
    artist: np.ndarray
    album: np.ndarray
    genre: np.ndarray
    acoustic: np.ndarray
    n_artists: int
    n_albums: int
    n_genres: int

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.ids)

    @classmethod
    def from_batches(cls, batches: Iterable[pa.RecordBatch]) -> Catalogue:
        """Read track rows; columns other than ``track_id`` may be missing or null."""
        ids: list[str] = []
        codes: dict[str, list[int]] = {"artist_id": [], "album_id": [], "genre": []}
        names: dict[str, dict[str, int]] = {key: {} for key in codes}
        acoustic = []
        for batch in batches:
            ids.extend(_column(batch, "track_id", "gold.track_features").cast(pa.string()).to_pylist())
            for key, values in codes.items():
                column = (
                    batch.column(key).cast(pa.string()).to_pylist()
                    if key in batch.schema.names
                    else [None] * len(batch)
                )
                known = names[key]
                values.extend(UNKNOWN if v is None or v == "" else known.setdefault(v, len(known)) for v in column)
            acoustic.append(_acoustic(batch))
        if not ids:
            raise ValueError("gold.track_features holds no track; materialize it first: soundlake run")
        arrays = {key: np.asarray(values, dtype=np.int32) for key, values in codes.items()}
        return cls(np.asarray(ids, dtype=object), arrays["artist_id"], arrays["album_id"], arrays["genre"],
                   np.concatenate(acoustic), *(len(names[key]) for key in codes))  # fmt: skip


@dataclass(frozen=True)
class ListeningData:
    """Plays of all users, in compressed rows: user ``u`` played ``items[offsets[u]:offsets[u + 1]]``, oldest first.

    users: object [U]; offsets: int64 [U + 1]; items: int32 [N] into ``catalogue``; times: int64 [N] in ms since 1970
    (UTC), None without a true clock; hours: int8 [N] local hour, -1 unknown; devices: int16 [N] into ``device_names``,
    -1 unknown; clock: "event" (true times) or "synthetic" (order only).
    """

    users: np.ndarray
    catalogue: Catalogue
    offsets: np.ndarray
    items: np.ndarray
    hours: np.ndarray
    devices: np.ndarray
    times: np.ndarray | None = None
    device_names: tuple[str, ...] = ()
    clock: str = "synthetic"
    unknown_plays: int = field(default=0, compare=False)

    @property
    def n_users(self) -> int:
        return len(self.users)

    @property
    def n_tracks(self) -> int:
        return len(self.catalogue)

    @property
    def n_plays(self) -> int:
        return len(self.items)

    @cached_property
    def user_of_play(self) -> np.ndarray:
        """int64 [N]: the user index of every play."""
        return np.repeat(np.arange(self.n_users), np.diff(self.offsets))

    @cached_property
    def plays(self) -> np.ndarray:
        """int64 [I]: plays of every track."""
        return np.bincount(self.items, minlength=self.n_tracks)

    @cached_property
    def listeners(self) -> np.ndarray:
        """int64 [I]: distinct users who played every track."""
        pairs = np.unique(self.user_of_play * self.n_tracks + self.items)
        return np.bincount(pairs % self.n_tracks, minlength=self.n_tracks)

    def history(self, user: int) -> np.ndarray:
        """Track indices of one user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def histories(self, users: Sequence[int] | None = None) -> list[list[str]]:
        """Raw track ids of the users (all by default), oldest first."""
        chosen = range(self.n_users) if users is None else users
        return [self.catalogue.ids[self.history(user)].tolist() for user in chosen]

    def keep(self, mask: np.ndarray) -> ListeningData:
        """The same users and catalogue with only the plays where ``mask`` (bool [N]) is true."""
        counts = np.bincount(self.user_of_play[mask], minlength=self.n_users)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            items=self.items[mask],
            hours=self.hours[mask],
            devices=self.devices[mask],
            times=None if self.times is None else self.times[mask],
        )

    @classmethod
    def from_batches(
        cls, sequence_batches: Iterable[pa.RecordBatch], track_batches: Iterable[pa.RecordBatch]
    ) -> ListeningData:
        """Read both tables; plays of tracks that the catalogue lacks are left out and counted in ``unknown_plays``.

        Times and hours of a synthetic clock say nothing about listening, so they are dropped.
        """
        catalogue = Catalogue.from_batches(track_batches)
        rows = _Rows(pa.array(catalogue.ids, pa.string()))
        for batch in sequence_batches:
            rows.add(batch)
        if not rows.users:
            raise ValueError("gold.sequences holds no user; materialize it first: soundlake run")
        if rows.unknown:
            log.warning("%d plays are of tracks that gold.track_features lacks; they are left out", rows.unknown)
        event = rows.clocks == {"event"}
        items, times, hours, devices = (np.concatenate(part) for part in zip(*rows.parts, strict=True))
        return cls(
            users=np.asarray(rows.users, dtype=object),
            catalogue=catalogue,
            offsets=np.concatenate([[0], np.cumsum(rows.counts)]).astype(np.int64),
            items=items,
            hours=hours if event else np.full(len(items), UNKNOWN, np.int8),
            devices=devices,
            times=times if event else None,
            device_names=tuple(rows.device_names),
            clock="event" if event else "synthetic",
            unknown_plays=rows.unknown,
        )


class _Rows:
    """Collects sequence batches as index arrays."""

    def __init__(self, track_ids: pa.Array):
        self._track_ids = track_ids
        self.users: list[str] = []
        self.counts: list[int] = []
        self.parts: list[tuple[np.ndarray, ...]] = []
        self.clocks: set[str] = set()
        self.device_names: dict[str, int] = {}
        self.unknown = 0

    def add(self, batch: pa.RecordBatch) -> None:
        lists = _column(batch, "track_ids", "gold.sequences")
        flat = lists.flatten().cast(pa.string())
        items = pc.fill_null(pc.index_in(flat, value_set=self._track_ids), UNKNOWN).to_numpy(zero_copy_only=False)
        rows = lists.value_parent_indices() if hasattr(lists, "value_parent_indices") else pc.list_parent_indices(lists)
        keep = items >= 0
        self.unknown += int((~keep).sum())
        counts = np.bincount(np.asarray(rows)[keep], minlength=len(batch))
        users = _column(batch, "user_key", "gold.sequences").cast(pa.string()).to_pylist()
        self.users += [user for user, count in zip(users, counts, strict=True) if count]
        self.counts += [int(count) for count in counts if count]
        self.clocks.update(c or "synthetic" for c in _column(batch, "clock", "gold.sequences").unique().to_pylist())
        times = self._flat(batch, "occurred_at", len(items), pa.timestamp("ms", "UTC"))
        times = np.zeros(len(items), np.int64) if times is None else pc.fill_null(times.cast(pa.int64()), 0).to_numpy()
        hours = self._flat(batch, "local_hours", len(items), pa.int32())
        hours = np.full(len(items), UNKNOWN) if hours is None else pc.fill_null(hours, UNKNOWN).to_numpy()
        self.parts.append(
            (items[keep].astype(np.int32), times[keep], hours[keep].astype(np.int8), self._devices(batch, items)[keep])
        )

    def _devices(self, batch: pa.RecordBatch, items: np.ndarray) -> np.ndarray:
        flat = self._flat(batch, "devices", len(items), pa.string())
        if flat is None:
            return np.full(len(items), UNKNOWN, np.int16)
        encoded = flat.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        codes = np.asarray(
            [self.device_names.setdefault(n, len(self.device_names)) if n else UNKNOWN for n in names] + [UNKNOWN]
        )
        return codes[pc.fill_null(encoded.indices, len(names)).to_numpy()].astype(np.int16)

    @staticmethod
    def _flat(batch: pa.RecordBatch, name: str, n: int, to: pa.DataType) -> pa.Array | None:
        """One value a play, or None when the column is missing or null throughout."""
        if name not in batch.schema.names:
            return None
        column = batch.column(name)
        flat = column.flatten()
        if len(flat) == n:
            return flat.cast(to, safe=False)
        if column.null_count == len(column):
            return None
        raise ValueError(
            f"gold.sequences: {name} has {len(flat)} values for {n} plays in a batch; every list must be as long as "
            "track_ids. Rebuild the table: soundlake run"
        )


def _column(batch: pa.RecordBatch, name: str, table: str) -> pa.Array:
    if name not in batch.schema.names:
        raise ValueError(f"{table}: column {name!r} is missing; found {batch.schema.names}")
    return batch.column(name)


def _acoustic(batch: pa.RecordBatch) -> np.ndarray:
    matrix = np.full((len(batch), len(ACOUSTIC)), np.nan, np.float32)
    for position, name in enumerate(ACOUSTIC):
        if name in batch.schema.names:
            matrix[:, position] = batch.column(name).cast(pa.float32()).to_numpy(zero_copy_only=False)
    return matrix
