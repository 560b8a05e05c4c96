"""A Great Expectations suite from a table's contract, run on the table as it stands.

Properties of a table: ``not_empty``, ``complete`` (no nulls where none may be), ``unique_key``, ``valid_values`` and
``plausible_values`` (checks that the contract declares with ``blocking=False``: they warn and stop nothing).
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lakehouse import arrow
from lakehouse.contract import Sensitivity, Table

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

    from lakehouse.lake import Lake

PANDAS_ROWS = 500_000

SAMPLE = 5

BLOCKING = {
    "not_empty": True,
    "complete": True,
    "unique_key": True,
    "valid_values": True,
    "plausible_values": False,
}


@dataclass
class PropertyResult:
    """One property of a table: what was expected, and what failed with a sample of the failing rows."""

    name: str
    passed: bool = True
    expectations: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        if self.passed:
            return f"{self.expectations} expectations met"
        return "; ".join(f"{f['expectation']} on {f['column']}: {f['unexpected']} rows" for f in self.failures)


def properties_of(table: Table) -> list[str]:
    """Names of the properties that this contract says something about."""
    names = ["complete", "unique_key"]
    if table.min_rows:
        names.insert(0, "not_empty")
    checks = [c.check for c in table.columns if c.check]
    if any(check.blocking for check in checks):
        names.append("valid_values")
    if any(not check.blocking for check in checks):
        names.append("plausible_values")
    return names


def suite_for(table: Table) -> ExpectationSuite:
    """The contract as expectations; ``meta.property`` tells which property each belongs to."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    _context()  # a suite belongs to one
    suite = gx.ExpectationSuite(name=table.name)

    def add(name: str, expectation: Any) -> None:
        expectation.meta = {"property": name}
        suite.add_expectation(expectation)

    if table.min_rows:
        add("not_empty", gxe.ExpectTableRowCountToBeBetween(min_value=table.min_rows))
    for column in table.columns:
        if not column.nullable:
            add("complete", gxe.ExpectColumnValuesToNotBeNull(column=column.name))
        values_property = "valid_values" if column.check and column.check.blocking else "plausible_values"
        if column.check and column.check.kind == "between":
            low, high = column.check.arguments
            add(values_property, gxe.ExpectColumnValuesToBeBetween(column=column.name, min_value=low, max_value=high))
        elif column.check:
            values = list(column.check.arguments)
            add(values_property, gxe.ExpectColumnValuesToBeInSet(column=column.name, value_set=values))
    if len(table.key) == 1:
        add("unique_key", gxe.ExpectColumnValuesToBeUnique(column=table.key[0]))
    else:
        add("unique_key", gxe.ExpectCompoundColumnsToBeUnique(column_list=list(table.key)))
    return suite


@lru_cache(maxsize=1)
def _context() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def validate(table: Table, lake: Lake, days: tuple[date, date] | None = None) -> dict[str, PropertyResult]:
    """Run the table's suite; -> a result for each property of the contract.

    ``days`` limits it to those days of ``run_partition`` (or of the first partition column). Up to PANDAS_ROWS rows are
    checked in this process, more by Spark: the suite is the same.
    """
    day = table.run_partition or (table.partition_by[0] if table.partition_by else None)
    limits = (day, *days) if days and day else None
    if lake.state(table).rows <= PANDAS_ROWS:
        where = arrow.between(*limits) if limits else None
        data = arrow.read(lake.settings, table, _checked_columns(table), where).to_pandas()
        asset = _context().data_sources.add_or_update_pandas("pandas").add_dataframe_asset(table.name)
    else:
        data = lake.read(table).select(*_checked_columns(table), *([day] if limits else []))
        if limits:
            data = data.where(f"{day} BETWEEN DATE'{days[0]}' AND DATE'{days[1]}'")
        data = data.persist()  # here, not by Great Expectations: it would never let go, and a later check see old rows
        asset = _context().data_sources.add_or_update_spark("spark", persist=False).add_dataframe_asset(table.name)
    try:
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": data})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = batch.validate(suite_for(table), result_format="SUMMARY")
        return _by_property(table, outcome.results, data)
    finally:
        if hasattr(data, "unpersist"):
            data.unpersist()


def _checked_columns(table: Table) -> list[str]:
    return [c.name for c in table.columns if not c.nullable or c.check or c.name in table.key]


def _by_property(table: Table, outcomes: list[Any], data: Any) -> dict[str, PropertyResult]:
    results = {name: PropertyResult(name) for name in properties_of(table)}
    hidden = {c.name for c in table.columns if c.sensitivity is Sensitivity.IDENTIFYING}
    for one in outcomes:
        config = one.expectation_config
        result = results[config.meta["property"]]
        result.expectations += 1
        if one.success:
            continue
        result.passed = False
        detail = one.result or {}
        columns = {config.kwargs.get("column"), *config.kwargs.get("column_list", [])}
        values = [] if columns & hidden else detail.get("partial_unexpected_list", [])
        result.failures.append(
            {
                "expectation": config.type,
                "column": config.kwargs.get("column") or ", ".join(config.kwargs.get("column_list", ["(table)"])),
                "unexpected": detail.get("unexpected_count", detail.get("observed_value", str(one.exception_info))),
                "sample": [str(v) for v in values][:SAMPLE],
                "rows": failing_rows(table, config.type, config.kwargs.get("column"), data),
            }
        )
    return results


def failing_rows(table: Table, expectation: str, column: str | None, data: Any) -> list[dict[str, str]]:
    """Up to SAMPLE rows that fail: their key and the value. Values of identifying columns are not shown.

    ``data`` is the pandas or Spark frame that was checked.
    """
    hidden = {c.name for c in table.columns if c.sensitivity is Sensitivity.IDENTIFYING}
    shown = list(dict.fromkeys([*table.key, *([column] if column else [])]))
    if hasattr(data, "toPandas"):
        rows = _failing_in_spark(table, expectation, column, data).select(*shown).limit(SAMPLE).toPandas()
    else:
        rows = data.loc[_failing_in_pandas(table, expectation, column, data), shown].head(SAMPLE)
    return [{k: "(not shown)" if k in hidden else str(v) for k, v in row.items()} for row in rows.to_dict("records")]


def _failing_in_pandas(table: Table, expectation: str, column: str | None, data: Any) -> Any:
    """The rows that fail, as a mask."""
    check = next((c.check for c in table.columns if c.name == column), None)
    if expectation == "expect_column_values_to_not_be_null":
        return data[column].isna()
    if "unique" in expectation:
        return data.duplicated(list(table.key), keep=False)
    if check is None:  # the table itself: it has too few rows
        return data.index < 0
    if check.kind == "one_of":
        return data[column].notna() & ~data[column].isin(check.arguments)
    low, high = check.arguments
    below = data[column] < low if low is not None else data.index < 0
    above = data[column] > high if high is not None else data.index < 0
    return below | above


def _failing_in_spark(table: Table, expectation: str, column: str | None, data: Any) -> Any:
    check = next((c.check for c in table.columns if c.name == column), None)
    if expectation == "expect_column_values_to_not_be_null":
        return data.where(f"{column} IS NULL")
    if "unique" in expectation:
        twice = data.groupBy(*table.key).count().where("count > 1").drop("count")
        return data.join(twice, list(table.key), "left_semi")
    return data.where("false") if check is None else data.where(f"NOT ({check.sql(column)})")
