"""What is served online: each view is one gold table with a key, row for row.

A view of the feature definitions brings its own row schema; any other table of flat columns gets one from its contract.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse.contract import Column, Table
from lakehouse.features.views import VIEWS as FEATURE_VIEWS
from lakehouse.online.rows import Field, RowError, RowSchema
from lakehouse.tables import gold
from lakehouse.tables.features import FEATURE_TABLES

_KINDS = {
    "bigint": "int64",
    "int": "int64",
    "boolean": "int64",
    "float": "float32",
    "double": "float64",
    "timestamp": "timestamp",
    "string": "ids",
}


@dataclass(frozen=True)
class View:
    """``as_of``: the column that says what moment a row speaks of; None: the time of the table's commit."""

    schema: RowSchema
    table: Table
    as_of: str | None = None

    def __post_init__(self) -> None:
        wanted = [f.name for f in self.schema.fields] + ([self.as_of] if self.as_of else [])
        missing = [name for name in wanted if name not in self.table.column_names]
        if missing:
            raise RowError(f"view {self.name}: table {self.table.name} has no column {', '.join(missing)}")

    @property
    def name(self) -> str:
        return self.schema.view

    @property
    def columns(self) -> list[str]:
        """Columns of the table that a row is made of."""
        own = [*self.table.key, *(f.name for f in self.schema.fields), *([self.as_of] if self.as_of else [])]
        return list(dict.fromkeys(own))


def view_of(table: Table, defaults: Mapping[str, float] | None = None, ttl_seconds: float | None = None) -> View:
    """The view of a table of flat columns: all of them but the key.

    A number that may be null is NaN where it is unknown, a whole number 0, unless ``defaults`` says otherwise.
    Raises RowError for a column of another type.
    """
    fields = tuple(_field(table, c, (defaults or {}).get(c.name)) for c in table.columns if c.name not in table.key)
    return View(RowSchema(table.short_name, fields, ttl_seconds), table)


def _field(table: Table, column: Column, default: float | None) -> Field:
    kind = _KINDS.get(column.type)
    if kind is None:
        raise RowError(f"table {table.name}, column {column.name}: {column.type} has no kind of field; give a schema")
    if default is None:
        default = float("nan") if column.nullable and kind in ("float32", "float64") else 0
    return Field(column.name, kind, default=default)


VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        view_of(gold.USER_FEATURES),
        view_of(gold.TRACK_FEATURES),
        *(View(v.row_schema(), FEATURE_TABLES[v.name], as_of="as_of") for v in FEATURE_VIEWS),
    )
}


def get_view(name: str) -> View:
    """The view ``name``; raises KeyError that lists the nearest names."""
    if name in VIEWS:
        return VIEWS[name]
    near = difflib.get_close_matches(name, VIEWS, n=3) or sorted(VIEWS)
    raise KeyError(f"no view {name!r} is made from a table; did you mean {', '.join(near)}?")
