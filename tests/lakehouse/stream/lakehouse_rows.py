"""Tables as rows, to compare lakes."""

from __future__ import annotations

from lakehouse import arrow
from lakehouse.settings import Settings
from lakehouse.tables import get_table


def rows_of(settings: Settings, name: str, without: tuple[str, ...] = ()) -> list[tuple]:
    """All rows of a table but some columns, in a fixed order."""
    table = get_table(name)
    columns = [c for c in table.column_names if c not in without]
    rows = arrow.read(settings, table, columns).to_pydict()
    return sorted(zip(*(map(repr, rows[name]) for name in columns), strict=True))
