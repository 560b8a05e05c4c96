"""A view with a field of every kind, for the tests of the online store."""

from __future__ import annotations

from datetime import UTC, datetime

from lakehouse.online.rows import Field, RowSchema

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TASTE = RowSchema(
    "taste",
    (
        Field("plays", "int64"),
        Field("genres", "float32", size=3, default=0.25),
        Field("skip_rate", "float64", default=-1),
        Field("last_at", "timestamp"),
        Field("recent", "ids", size=5),
    ),
)
