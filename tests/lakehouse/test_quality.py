"""Checks from the contracts: each fails when it should, the same in this process and in Spark."""

from __future__ import annotations

from datetime import date, timedelta

import deltalake
import pyarrow as pa
import pytest
from raw_zone import DAY

from lakehouse import quality
from lakehouse.contract import Column, Table, Write, between, one_of
from lakehouse.tables import TABLES

THINGS = Table(
    "silver.things",
    "Things.",
    (
        Column("id", "string", "an id", nullable=False),
        Column("day", "date", "a day", nullable=False),
        Column("share", "double", "a share", check=between(0, 1)),
        Column("count", "bigint", "a count", check=between(1, None)),
        Column("kind", "string", "a kind", check=one_of("a", "b")),
        Column("note", "string", "anything"),
    ),
    key=("id",),
    write=Write.REPLACE,
    partition_by=("day",),
    min_rows=1,
)
PAIRS = Table("silver.pairs", "Pairs.", THINGS.columns, ("id", "day"), Write.REPLACE)
GOOD = {"id": "1", "day": DAY, "share": 0.5, "count": 3, "kind": "a", "note": None}
EMPTY = {"share": None, "count": None, "kind": None}
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("day", pa.date32()),
        ("share", pa.float64()),
        ("count", pa.int64()),
        ("kind", pa.string()),
        ("note", pa.string()),
    ]
)

CASES = {
    "good": ([GOOD, {**GOOD, "id": "2", **EMPTY}], {}),
    "no rows": ([], {"not_empty"}),
    "a null": ([GOOD, {**GOOD, "id": None}], {"complete"}),
    "a key twice": ([GOOD, {**GOOD, "day": date(2026, 1, 6)}], {"unique_key"}),
    "above": ([{**GOOD, "share": 1.01}], {"valid_values"}),
    "below": ([{**GOOD, "count": 0}], {"valid_values"}),
    "not in the set": ([{**GOOD, "kind": "c"}], {"valid_values"}),
    "all at once": ([{**GOOD, "kind": "c"}, GOOD, {**GOOD, "id": None}], {"complete", "unique_key", "valid_values"}),
}


@pytest.fixture(params=["pandas", "spark"])
def engine(request, monkeypatch):
    """Both ways to run a suite, whatever the size of the table."""
    if request.param == "spark":
        monkeypatch.setattr(quality.suites, "PANDAS_ROWS", -1)
    return request.param


def check(lake, table, rows, days=None):
    """The rows may break the contract, so the table is not made by it."""
    lake._ensured.add(table.name)
    deltalake.write_deltalake(lake.settings.table_uri(table.name), pa.Table.from_pylist(rows, SCHEMA), mode="overwrite")
    return quality.validate(table, lake, days)


@pytest.mark.parametrize("case", CASES)
def test_each_property_fails_when_it_should(lake, engine, case):
    rows, broken = CASES[case]
    results = check(lake, THINGS, rows)
    assert list(results) == ["not_empty", "complete", "unique_key", "valid_values"]
    assert {name for name, result in results.items() if not result.passed} == set(broken)
    assert [results[name].expectations for name in results] == [1, 2, 1, 3]
    for name in broken:
        assert results[name].failures


def test_a_failure_tells_column_and_values(lake, engine):
    rows = [GOOD, {**GOOD, "id": "2", "share": 7.5}, {**GOOD, "id": "3", "share": -1.0}]
    result = check(lake, THINGS, rows)["valid_values"]
    (failure,) = result.failures
    assert (failure["column"], failure["unexpected"], sorted(failure["sample"])) == ("share", 2, ["-1.0", "7.5"])
    assert result.text == "expect_column_values_to_be_between on share: 2 rows"


def test_a_key_of_two_columns(lake, engine):
    assert check(lake, PAIRS, [GOOD, {**GOOD, "day": DAY + timedelta(1)}])["unique_key"].passed
    result = check(lake, PAIRS, [GOOD, GOOD])["unique_key"]
    assert not result.passed
    assert result.failures[0]["column"] == "id, day"


def test_days_limit_what_is_looked_at(lake, engine):
    rows = [GOOD, {**GOOD, "id": "2", "day": DAY + timedelta(1), "kind": "c"}]
    assert check(lake, THINGS, rows, (DAY, DAY))["valid_values"].passed
    assert not check(lake, THINGS, rows, (DAY, DAY + timedelta(1)))["valid_values"].passed


def test_every_contract_gives_a_suite():
    for table in TABLES.values():
        suite = quality.suite_for(table)
        assert {e.meta["property"] for e in suite.expectations} == set(quality.properties_of(table))
        assert set(quality.properties_of(table)) <= set(quality.BLOCKING)
