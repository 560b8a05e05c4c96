"""The small listening world with context, outcomes and profiles beside its plays."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
from listening_world import sequence_batch

ACTIVITIES = ("work", "relax", "exercise")


def sequence_batch_with_context(users: int = 60, clock: str = "event") -> pa.RecordBatch:
    """The same plays as ``sequence_batch``: each value follows from the hour, every fifth is unknown."""
    rows = [_with_context(row) for row in sequence_batch(users, clock=clock).to_pylist()]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def _with_context(row: dict) -> dict:
    times, hours = row["occurred_at"], row["local_hours"]
    gaps = [b - a > timedelta(minutes=30) for a, b in zip(times, times[1:], strict=False)]

    def sometimes(values):
        return [None if i % 5 == 4 else value for i, value in enumerate(values)]

    return {
        **row,
        "sessions": [sum(gaps[:i]) for i in range(len(times))],
        "local_weekdays": [t.isoweekday() for t in times],
        "activities": sometimes([ACTIVITIES[h // 8] for h in hours]),
        "networks": sometimes(["wifi" if h < 12 else "cellular" for h in hours]),
        "countries": sometimes(["SE"] * len(times)),
        "weathers": sometimes(["rain" if h % 2 else "clear" for h in hours]),
        "temperatures_c": sometimes([-3.0 + h for h in hours]),
        "completions": sometimes([0.25 if h % 3 == 0 else 1.0 for h in hours]),
        "skipped": sometimes([h % 3 == 0 for h in hours]),
        "liked": [h == 7 for h in hours],
        "added": [None] * len(times),
    }


SCHEMA = pa.schema(
    [
        *sequence_batch(1).schema,
        ("sessions", pa.list_(pa.int32())),
        ("local_weekdays", pa.list_(pa.int32())),
        *((name, pa.list_(pa.string())) for name in ("activities", "networks", "countries", "weathers")),
        *((name, pa.list_(pa.float64())) for name in ("temperatures_c", "completions")),
        *((name, pa.list_(pa.bool_())) for name in ("skipped", "liked", "added")),
    ]
)


def user_batch() -> pa.RecordBatch:
    """Profiles of some listeners, not in the order of their plays, and of one who never played."""
    rows = [
        {"user_key": "user-002", "birth_year": 1991, "gender": "f", "country": "SE", "plan": "free"},
        {"user_key": "stranger", "birth_year": 1950, "gender": "m", "country": "NO", "plan": "family"},
        {"user_key": "user-000", "birth_year": None, "gender": None, "country": "US", "plan": "premium"},
    ]
    return pa.RecordBatch.from_pylist(rows)
