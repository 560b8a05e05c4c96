"""Every table of the lake, by name."""

from __future__ import annotations

import difflib

from lakehouse.contract import Table
from lakehouse.tables import bronze, features, gold, silver

TABLES: dict[str, Table] = {t.name: t for t in (*bronze.TABLES, *silver.TABLES, *gold.TABLES, *features.TABLES)}


def get_table(name: str) -> Table:
    """The contract of ``name`` ("silver.listens"); raises KeyError that lists the nearest names."""
    if name in TABLES:
        return TABLES[name]
    near = difflib.get_close_matches(name, TABLES, n=3) or sorted(TABLES)
    raise KeyError(f"no table {name!r}; did you mean {', '.join(near)}? `soundlake tables` lists them all")
