"""What the models learn from: every listener's plays in order, as dense indices.

Read from ``gold.sequences`` and ``gold.track_features`` as Arrow record batches, one batch at a time: what stays in
memory is the catalogue and about 45 bytes a play, never the rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from models.context import FIELDS, PROFILE_FIELDS, UNKNOWN, Categories
from models.rows import SequenceRows, column, read_profiles
from models.vocabulary import Vocabulary

ACOUSTIC = ("danceability", "energy", "loudness", "speechiness", "acousticness", "instrumentalness", "liveness",
            "valence", "tempo")  # fmt: skip
OF_PLAYS = ("items", "times", "context", "sessions", "completion", "skipped", "liked", "added")
"""Arrays of ``ListeningData`` with an entry a play."""

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

    def in_order(self, order: np.ndarray) -> Catalogue:
        """The same tracks with track ``order[i]`` in row i."""
        rows = {name: getattr(self, name)[order] for name in ("ids", "artist", "album", "genre", "acoustic")}
        return replace(self, **rows)

    @classmethod
    def from_batches(cls, batches: Iterable[pa.RecordBatch]) -> Catalogue:
        """Read track rows; columns other than ``track_id`` may be missing or null."""
        ids: list[str] = []
        codes: dict[str, list[int]] = {"artist_id": [], "album_id": [], "genre": []}
        names: dict[str, dict[str, int]] = {key: {} for key in codes}
        acoustic = []
        for batch in batches:
            ids.extend(column(batch, "track_id", "gold.track_features").cast(pa.string()).to_pylist())
            for key, values in codes.items():
                names_now = (
                    batch.column(key).cast(pa.string()).to_pylist()
                    if key in batch.schema.names
                    else [None] * len(batch)
                )
                known = names[key]
                values.extend(UNKNOWN if v is None or v == "" else known.setdefault(v, len(known)) for v in names_now)
            acoustic.append(_acoustic(batch))
        if not ids:
            raise ValueError("gold.track_features holds no track; materialize it first: soundlake run")
        arrays = {key: np.asarray(values, dtype=np.int32) for key, values in codes.items()}
        return cls(np.asarray(ids, dtype=object), arrays["artist_id"], arrays["album_id"], arrays["genre"],
                   np.concatenate(acoustic), *(len(names[key]) for key in codes))  # fmt: skip


@dataclass(frozen=True)
class ListeningData:
    """Plays of all users, in compressed rows: user ``u`` played ``items[offsets[u]:offsets[u + 1]]``, oldest first.

    users: object [U]; offsets: int64 [U + 1]; items: int32 [N] into ``catalogue``; clock: "event" (true times) or
    "synthetic" (order only); times: int64 [N] in ms since 1970 (UTC), None without a true clock.

    context: int16 [N, F], codes of ``context_fields``, -1 unknown; profiles: int16 [U, P], codes of
    ``profile_fields``; sessions: int32 [N], 0 the listener's first session, -1 unknown; completion: float32 [N], share
    heard, NaN unknown; skipped, liked, added: int8 [N], 1 or 0, -1 unknown. Left out, they are unknown throughout.
    """

    users: np.ndarray
    catalogue: Catalogue
    offsets: np.ndarray
    items: np.ndarray
    times: np.ndarray | None = None
    clock: str = "synthetic"
    context: np.ndarray = None  # type: ignore[assignment]  # the unknowns are filled in below
    sessions: np.ndarray = None  # type: ignore[assignment]
    completion: np.ndarray = None  # type: ignore[assignment]
    skipped: np.ndarray = None  # type: ignore[assignment]
    liked: np.ndarray = None  # type: ignore[assignment]
    added: np.ndarray = None  # type: ignore[assignment]
    profiles: np.ndarray = None  # type: ignore[assignment]
    context_fields: Categories = field(default_factory=lambda: Categories.of(FIELDS))
    profile_fields: Categories = field(default_factory=lambda: Categories.of(PROFILE_FIELDS))
    unknown_plays: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        n, shape = len(self.items), (len(self.items), len(self.context_fields))
        unknown = {
            "context": (shape, np.int16(UNKNOWN)),
            "sessions": (n, np.int32(UNKNOWN)),
            "completion": (n, np.float32(np.nan)),
            **{name: (n, np.int8(UNKNOWN)) for name in ("skipped", "liked", "added")},
            "profiles": ((len(self.users), len(self.profile_fields)), np.int16(UNKNOWN)),
        }
        for name, (size, value) in unknown.items():
            if getattr(self, name) is None:  # one value seen from everywhere: no memory, and not to be written
                object.__setattr__(self, name, np.broadcast_to(value, size))
        for name in OF_PLAYS:
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise ValueError(f"ListeningData: {name} has {len(values)} values for {n} plays")

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

    def of_context(self, name: str) -> np.ndarray:
        """int16 [N]: the codes of one field of the context, such as "hour"; names in ``context_fields.names``."""
        return self.context[:, self.context_fields.column(name)]

    def keep(self, mask: np.ndarray) -> ListeningData:
        """The same users and catalogue with only the plays where ``mask`` (bool [N]) is true."""
        counts = np.bincount(self.user_of_play[mask], minlength=self.n_users)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        arrays = {name: getattr(self, name) for name in OF_PLAYS}
        kept = {name: None if values is None else values[mask] for name, values in arrays.items()}
        return replace(self, offsets=offsets, **kept)

    def in_order(self, order: np.ndarray) -> ListeningData:
        """The same plays over the catalogue in another order."""
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        return replace(self, catalogue=self.catalogue.in_order(order), items=place[self.items])

    @classmethod
    def from_batches(
        cls,
        sequence_batches: Iterable[pa.RecordBatch],
        track_batches: Iterable[pa.RecordBatch],
        user_batches: Iterable[pa.RecordBatch] = (),
    ) -> ListeningData:
        """Read gold.sequences, gold.track_features and silver.users.

        Plays of tracks that the catalogue lacks are left out and counted in ``unknown_plays``. Times, sessions and
        hours of a synthetic clock say nothing about listening, so they are dropped. Columns of context, outcomes and
        profile may be missing.
        """
        catalogue = Catalogue.from_batches(track_batches)
        rows = SequenceRows(pa.array(catalogue.ids, pa.string()))
        for batch in sequence_batches:
            rows.add(batch)
        if not rows.users:
            raise ValueError("gold.sequences holds no user; materialize it first: soundlake run")
        if rows.unknown:
            log.warning("%d plays are of tracks that gold.track_features lacks; they are left out", rows.unknown)
        profiles, profile_fields = read_profiles(rows.users, user_batches)
        return cls(
            users=np.asarray(rows.users, dtype=object),
            catalogue=catalogue,
            offsets=np.concatenate([[0], np.cumsum(rows.counts)]).astype(np.int64),
            clock="event" if rows.clocks == {"event"} else "synthetic",
            context_fields=rows.context_fields,
            profiles=profiles,
            profile_fields=profile_fields,
            unknown_plays=rows.unknown,
            **rows.arrays(),
        )


def _acoustic(batch: pa.RecordBatch) -> np.ndarray:
    matrix = np.full((len(batch), len(ACOUSTIC)), np.nan, np.float32)
    for position, name in enumerate(ACOUSTIC):
        if name in batch.schema.names:
            matrix[:, position] = batch.column(name).cast(pa.float32()).to_numpy(zero_copy_only=False)
    return matrix
