"""Reads gold.sequences and silver.users, Arrow batch by Arrow batch, into the arrays of ``ListeningData``."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.context import FIELDS, PROFILE_FIELDS, UNKNOWN
from models.context.fields import Categories, CategoriesBuilder

CONTEXT_COLUMNS = {
    "hour": ("local_hours", pa.int32()),
    "weekday": ("local_weekdays", pa.int32()),
    "device": ("devices", pa.string()),
    "activity": ("activities", pa.string()),
    "network": ("networks", pa.string()),
    "country": ("countries", pa.string()),
    "weather": ("weathers", pa.string()),
    "temperature": ("temperatures_c", pa.float64()),
}
OF_THE_CLOCK = ("hour", "weekday", "month")
OUTCOMES = ("skipped", "liked", "added")


class SequenceRows:
    """Collects sequence batches; ``arrays()`` gives what a play has, by the names of ``ListeningData``."""

    def __init__(self, track_ids: pa.Array):
        self._track_ids = track_ids
        self._parts: list[dict[str, np.ndarray]] = []
        self._context = CategoriesBuilder(FIELDS)
        self.users: list[str] = []
        self.counts: list[int] = []
        self.clocks: set[str] = set()
        self.unknown = 0

    @property
    def context_fields(self) -> Categories:
        return self._context.finish()

    def add(self, batch: pa.RecordBatch) -> None:
        lists = column(batch, "track_ids", "gold.sequences")
        flat = lists.flatten().cast(pa.string())
        items = pc.fill_null(pc.index_in(flat, value_set=self._track_ids), UNKNOWN).to_numpy(zero_copy_only=False)
        rows = lists.value_parent_indices() if hasattr(lists, "value_parent_indices") else pc.list_parent_indices(lists)
        keep = items >= 0
        self.unknown += int((~keep).sum())
        counts = np.bincount(np.asarray(rows)[keep], minlength=len(batch))
        users = column(batch, "user_key", "gold.sequences").cast(pa.string()).to_pylist()
        self.users += [user for user, count in zip(users, counts, strict=True) if count]
        self.counts += [int(count) for count in counts if count]
        self.clocks.update(c or "synthetic" for c in column(batch, "clock", "gold.sequences").unique().to_pylist())
        times = _numbers(batch, "occurred_at", len(items), pa.timestamp("ms", "UTC"), 0).astype(np.int64)
        part = {
            "items": items.astype(np.int32),
            "times": times,
            "context": self._codes(batch, times),
            "sessions": _numbers(batch, "sessions", len(items), pa.int32(), UNKNOWN).astype(np.int32),
            "completion": _numbers(batch, "completions", len(items), pa.float32(), np.nan).astype(np.float32),
        }
        part |= {name: _numbers(batch, name, len(items), pa.int8(), UNKNOWN).astype(np.int8) for name in OUTCOMES}
        self._parts.append({name: values[keep] for name, values in part.items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """What was collected, to be taken once.

        Times, sessions and hours of a synthetic clock say nothing about listening: they are left unknown.
        """
        names = list(self._parts[0])  # parts go as they are joined, so that nothing is held twice
        whole = {name: np.concatenate([part.pop(name) for part in self._parts]) for name in names}
        if self.clocks != {"event"}:
            whole["context"][:, [FIELDS.index(name) for name in OF_THE_CLOCK]] = UNKNOWN
            whole["sessions"][:] = UNKNOWN
            del whole["times"]
        return whole

    def _codes(self, batch: pa.RecordBatch, times: np.ndarray) -> np.ndarray:
        codes = np.full((len(times), len(FIELDS)), UNKNOWN, np.int16)
        for name, (source, kind) in CONTEXT_COLUMNS.items():
            flat = _flat(batch, source, len(times), kind)
            if flat is not None:
                codes[:, FIELDS.index(name)] = self._context.codes(name, flat)
        codes[:, FIELDS.index("month")] = months(times)
        return codes


def months(times: np.ndarray) -> np.ndarray:
    """Month codes (0-11, UTC) of times in ms since 1970."""
    return times.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64) % 12


def read_profiles(users: list[str], batches) -> tuple[np.ndarray, Categories]:
    """int16 [U, P] of the listeners ``users`` from rows of silver.users, and the categories; missing is unknown."""
    builder, codes = CategoriesBuilder(PROFILE_FIELDS), np.full((len(users), len(PROFILE_FIELDS)), UNKNOWN, np.int16)
    keys = pa.array(users, pa.string())
    for batch in batches:
        found = pc.index_in(column(batch, "user_key", "silver.users").cast(pa.string()), value_set=keys)
        rows = pc.fill_null(found, UNKNOWN).to_numpy(zero_copy_only=False)
        for place, name in enumerate(PROFILE_FIELDS):
            if name in batch.schema.names:
                codes[rows[rows >= 0], place] = builder.codes(name, batch.column(name))[rows >= 0]
    return codes, builder.finish()


def column(batch: pa.RecordBatch, name: str, table: str) -> pa.Array:
    if name not in batch.schema.names:
        raise ValueError(f"{table}: column {name!r} is missing; found {batch.schema.names}")
    return batch.column(name)


def _numbers(batch: pa.RecordBatch, name: str, n: int, to: pa.DataType, unknown: float) -> np.ndarray:
    flat = _flat(batch, name, n, to)
    if flat is None:
        return np.full(n, unknown)
    if pa.types.is_timestamp(to):
        flat = flat.cast(pa.int64())
    return pc.fill_null(flat, unknown).to_numpy(zero_copy_only=False)


def _flat(batch: pa.RecordBatch, name: str, n: int, to: pa.DataType) -> pa.Array | None:
    """One value a play, or None when the column is missing or null throughout."""
    if name not in batch.schema.names:
        return None
    lists = batch.column(name)
    if lists.null_count == len(lists):
        return None
    flat = lists.flatten()
    if len(flat) == n:
        return flat.cast(to, safe=False)
    raise ValueError(
        f"gold.sequences: {name} has {len(flat)} values for {n} plays in a batch; every list must be as long as "
        "track_ids. Rebuild the table: soundlake run"
    )
