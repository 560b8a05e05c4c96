"""What a table of the lake is: one declaration from which everything else about it is made.

From a ``Table`` come the Spark schema, the Delta table (comments, constraints, properties), the way it is written, the
Great Expectations suite, Dagster's column schema and tags, and the data dictionary. Nothing here imports Spark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class Sensitivity(StrEnum):
    NONE = "none"
    PERSONAL = "personal"  # tells something of one listener, who is named by a pseudonym only
    IDENTIFYING = "identifying"  # names the listener: stays in bronze


class Write(StrEnum):
    MERGE = "merge by key"
    APPEND_ONCE = "append once by source file"
    REPLACE = "replace the table"


@dataclass(frozen=True)
class Check:
    """A rule for the values of one column; nulls always pass (``nullable=False`` is the rule against them)."""

    kind: str
    arguments: tuple[Any, ...]
    blocking: bool = True  # a failure is an error and stops what is downstream; False: a warning
    enforced: bool = True  # Delta refuses a write that breaks it

    @property
    def text(self) -> str:
        if self.kind == "between":
            low, high = self.arguments
            return f"{'' if low is None else low} ≤ value{'' if high is None else f' ≤ {high}'}".strip(" ≤")
        return "one of " + ", ".join(map(str, self.arguments))

    def sql(self, column: str) -> str:
        """The rule as a Delta CHECK constraint."""
        if self.kind == "one_of":
            values = ", ".join(f"'{v}'" for v in self.arguments)
            return f"{column} IN ({values})"
        low, high = self.arguments
        parts = [f"{column} >= {low}" if low is not None else "", f"{column} <= {high}" if high is not None else ""]
        return " AND ".join(p for p in parts if p)


def between(low: float | None, high: float | None, **options: bool) -> Check:
    return Check("between", (low, high), **options)


def one_of(*values: str, **options: bool) -> Check:
    return Check("one_of", values, **options)


@dataclass(frozen=True)
class Column:
    name: str
    type: str  # a Spark SQL type: string, bigint, double, boolean, date, timestamp, array<…>, struct<…>
    description: str
    nullable: bool = True
    sensitivity: Sensitivity = Sensitivity.NONE
    check: Check | None = None

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError(f"column name {self.name!r}: use lower_snake_case")


@dataclass(frozen=True)
class Table:
    """``name`` is "layer.table". ``newest_by`` (MERGE only): a row replaces its twin if it is larger in this column.

    ``zorder_by``: maintenance lays rows that are alike in these columns into the same files, so that a look-up by one
    of them opens few. ``retention_days``: maintenance deletes rows whose ``day_column`` is older.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    write: Write
    partition_by: tuple[str, ...] = ()
    newest_by: str | None = None
    run_partition: str | None = None  # column that a daily Dagster partition selects
    zorder_by: tuple[str, ...] = ()
    retention_days: int | None = None
    min_rows: int = 0
    properties: dict[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        for wanted in (*self.key, *self.partition_by, *self.zorder_by, self.newest_by, self.run_partition):
            if wanted and wanted not in names:
                raise ValueError(f"table {self.name}: {wanted!r} is not one of its columns ({', '.join(names)})")
        if len(set(names)) != len(names):
            raise ValueError(f"table {self.name}: a column is declared twice")
        for column in self.columns:
            if column.name in self.key and column.nullable:
                raise ValueError(f"table {self.name}: key column {column.name!r} must be nullable=False")
        if self.retention_days and self.day_column is None:
            raise ValueError(f"table {self.name}: retention_days needs a run_partition or a date in partition_by")
        if both := set(self.zorder_by) & set(self.partition_by):
            raise ValueError(f"table {self.name}: {', '.join(both)} can not be in partition_by and in zorder_by")

    @property
    def layer(self) -> str:
        return self.name.split(".")[0]

    @property
    def short_name(self) -> str:
        return self.name.split(".")[1]

    @property
    def day_column(self) -> str | None:
        """Column that tells a row's day: the run partition, or the first date that files are partitioned by."""
        kinds = {c.name: c.type for c in self.columns}
        days = (name for name in (self.run_partition, *self.partition_by) if name and kinds[name] == "date")
        return next(days, None)

    @property
    def stats_columns(self) -> list[str]:
        """Columns whose smallest and largest values Delta keeps for each file: those that reads choose files by.

        Statistics of every column cost a fifth of a write.
        """
        times = (c.name for c in self.columns if c.type in ("date", "timestamp"))
        wanted = (*self.key, self.newest_by, *self.zorder_by, *times)
        return [n for n in dict.fromkeys(wanted) if n and n not in self.partition_by]

    @property
    def column_names(self) -> list[str]:
        return [c.name for c in self.columns]

    @property
    def has_personal_data(self) -> bool:
        return any(c.sensitivity is not Sensitivity.NONE for c in self.columns)

    def constraints(self) -> dict[str, str]:
        """name -> SQL of the CHECK constraints that Delta enforces (Delta takes a null for a violation, we do not)."""
        return {
            f"{c.name}_valid": f"{c.name} IS NULL OR ({c.check.sql(c.name)})" if c.nullable else c.check.sql(c.name)
            for c in self.columns
            if c.check and c.check.enforced
        }

    def ddl(self) -> str:
        """The Spark schema as DDL text."""
        return ", ".join(f"{c.name} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)
