"""What the tables of a lake hold, to compare lakes by."""

from __future__ import annotations

import json
from pathlib import Path

from raw_zone import RawZone

from lakehouse import arrow
from lakehouse.settings import Settings, use_lake
from lakehouse.tables import TABLES

MOMENTS = {"seen_at", "resolved_at", "ingested_at", "version"}
"""Columns that tell when something ran, not what it made."""


def content(settings: Settings, *names: str) -> dict[str, list[str]]:
    """table -> its rows as sorted JSON lines, without the moments."""
    return {name: _rows(settings, TABLES[name]) for name in names}


def _rows(settings: Settings, table) -> list[str]:
    columns = [name for name in table.column_names if name not in MOMENTS]
    rows = arrow.read(settings, table, columns).to_pylist()
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)


def prepare_lake(folder: Path) -> tuple[Settings, RawZone]:
    """Settings of the lake in ``folder`` as commands find them, and its raw zone."""
    return use_lake(str(folder)), RawZone(folder)
