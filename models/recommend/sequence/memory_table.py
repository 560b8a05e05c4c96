"""The memories of all listeners as rows of gold.listener_memory, brought up to date session by session.

A row lives in a space: the embeddings and the decay of one trained model. It says which plays it was made from (how
many, and a fingerprint of them), so that the next update folds in only what has ended since; where earlier plays have
changed, by events that came late, the row is made again from all of them. Both ways give the same bits, for both add
the same sessions in the same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from models.recommend.requests import Queries
from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.folding import ended, fold
from models.recommend.sequence.long_term import LongTerm
from models.vocabulary import Vocabulary

TABLE = "gold.listener_memory"
SCHEMA = pa.schema(
    [
        ("user_key", pa.string()),
        ("space", pa.string()),
        ("vector", pa.list_(pa.float32())),
        ("sessions", pa.int32()),
        ("last_session", pa.int32()),
        ("plays", pa.int64()),
        ("fingerprint", pa.string()),
        ("as_of", pa.timestamp("us", "UTC")),
        ("updated_at", pa.timestamp("us", "UTC")),
    ]
)


@dataclass(frozen=True)
class Space:
    """What the vectors of a model mean. name: as in the table's column ``space``, of one training alone; vectors:
    float32 [I, D], what each track of ``vocabulary`` adds; config: the decay, and what ends a session."""

    name: str
    vocabulary: Vocabulary
    vectors: np.ndarray = field(repr=False)
    config: SequenceConfig

    def __post_init__(self) -> None:
        if len(self.vocabulary) != len(self.vectors):
            raise ValueError(
                f"space {self.name}: {len(self.vectors)} vectors for {len(self.vocabulary)} tracks; give one each"
            )

    @property
    def dim(self) -> int:
        """Width of a memory."""
        return self.config.memory_dim


@dataclass(frozen=True)
class Stored:
    """A row: the memory, the number of the latest session in it (from 0, the listener's; -1 none), and the plays (of
    tracks that the space knows) that it was made from."""

    memory: LongTerm
    last_session: int = -1
    plays: int = 0
    fingerprint: str = ""


def fingerprint(items: np.ndarray, times: np.ndarray | None) -> str:
    """Of some plays: which tracks, and when."""
    digest = hashlib.blake2b(np.ascontiguousarray(items, np.int64).tobytes(), digest_size=8)
    if times is not None:
        digest.update(np.ascontiguousarray(times, np.int64).tobytes())
    return digest.hexdigest()


def updated(
    stored: Stored | None, items: np.ndarray, times: np.ndarray | None, now: int, space: Space
) -> Stored | None:
    """A listener's row after all sessions that have ended by ``now`` (ms); None where none has.

    items: indices int64 [n] of the plays, oldest first; times: ms [n], or None. Only sessions after those of ``stored``
    are folded in, unless its plays are not the first of ``items``.
    """
    over = ended(len(items), times, now, space.config)
    if not over:
        return None
    if stored is None or not _continues(stored, items, times, over, space):
        stored = Stored(LongTerm.empty(space.dim, space.name))
    new = [session for session in over if session[0] >= stored.plays]
    if not new:
        return stored
    memory = fold(stored.memory, new, lambda part: space.vectors[items[part]], times, space.config, space.name)
    plays = over[-1][1]
    seen = fingerprint(items[:plays], None if times is None else times[:plays])
    return Stored(memory, len(over) - 1, plays, seen)


def _continues(stored: Stored, items, times, over: list[tuple[int, int]], space: Space) -> bool:
    """Are the plays of a row still those that came first, and do they end where a session ends?"""
    n = stored.plays
    if stored.memory.version != space.name or n not in {end for _, end in over}:
        return False
    return stored.fingerprint == fingerprint(items[:n], None if times is None else times[:n])


def caught_up(queries: Queries, memories: Sequence[LongTerm], space: Space) -> tuple[np.ndarray, list[LongTerm]]:
    """Plays of the session that goes on at each query's moment, int64 [B], and the memories with the sessions of its
    history that have ended by then.

    memories: of the sessions before the histories, one a query. Raises ValueError for one of another space.
    """
    lengths, out = np.zeros(len(queries), np.int64), []
    for row, (history, memory) in enumerate(zip(queries.histories, memories, strict=True)):
        if memory.version != space.name:
            raise ValueError(f"session: a memory of version {memory.version!r}, the model's is {space.name!r}")
        times = None if queries.times is None else np.asarray(queries.times[row], np.int64)
        over = ended(len(history), times, -1 if queries.now is None else int(queries.now[row]), space.config)
        out.append(fold(memory, over, lambda part, h=history: space.vectors[h[part]], times, space.config, space.name))
        lengths[row] = len(history) - (over[-1][1] if over else 0)
    return lengths, out


def read_rows(batches: Iterable[pa.RecordBatch], space: Space) -> dict[str, Stored]:
    """The stored rows of a space by listener; rows of other spaces are left out."""
    out = {}
    for batch in batches:
        for row in batch.to_pylist():
            if row["space"] != space.name:
                continue
            as_of = row["as_of"]
            memory = LongTerm(
                np.asarray(row["vector"], np.float32), row["sessions"], space.name,
                -1 if as_of is None else round(as_of.timestamp() * 1000),
            )  # fmt: skip
            out[row["user_key"]] = Stored(memory, row["last_session"], row["plays"], row["fingerprint"])
    return out


def newest_play(batches: Iterable[pa.RecordBatch]) -> int:
    """ms since 1970 of the latest play of true clocks in gold.sequences, -1 if there is none: the lake's own now."""
    latest = -1
    for batch in batches:
        for row in batch.select(["occurred_at", "clock"]).to_pylist():
            if row["clock"] == "event" and row["occurred_at"]:
                latest = max(latest, round(row["occurred_at"][-1].timestamp() * 1000))
    return latest


def changed_rows(
    sequences: Iterable[pa.RecordBatch], stored: Mapping[str, Stored], now: int, space: Space, updated_at: datetime
) -> Iterator[pa.RecordBatch]:
    """Rows of listeners whose memory is new or another than the stored one, in the columns of ``SCHEMA``.

    sequences: batches of gold.sequences; now: ms, by when a session must have ended.
    """
    for batch in sequences:
        rows = []
        for user, items, times in _histories(batch, space.vocabulary):
            before = stored.get(user)
            row = updated(before, items, times, now, space)
            if row is not None and row is not before:
                rows.append(_as_row(user, row, updated_at))
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def _histories(batch: pa.RecordBatch, vocabulary: Vocabulary) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Listener, known plays and their times (None without a true clock) of each row of gold.sequences."""
    tracks, clocks = batch.column("track_ids"), batch.column("clock").to_pylist()
    moments = batch.column("occurred_at")
    for place, user in enumerate(batch.column("user_key").to_pylist()):
        items = vocabulary.lookup(tracks[place].as_py())
        times = None
        if clocks[place] == "event":
            times = moments[place].values.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy()[items >= 0]
        yield user, items[items >= 0], times


def _as_row(user: str, row: Stored, updated_at: datetime) -> dict:
    memory = row.memory
    as_of = None if memory.as_of < 0 else datetime.fromtimestamp(memory.as_of / 1000, UTC)
    return {
        "user_key": user,
        "space": memory.version,
        "vector": memory.vector.tolist(),
        "sessions": memory.sessions,
        "last_session": row.last_session,
        "plays": row.plays,
        "fingerprint": row.fingerprint,
        "as_of": as_of,
        "updated_at": updated_at,
    }
