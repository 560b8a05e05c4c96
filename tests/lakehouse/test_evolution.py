"""A table follows its contract, whatever is in it, and refuses what would lose a value."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime

import pytest
from raw_zone import DAY

from lakehouse import arrow, delta_log, evolution
from lakehouse.commits import is_conflict
from lakehouse.contract import Check, Column, Table, Write, between, one_of
from lakehouse.lake import Lake
from lakehouse.tables.bronze import EVENTS

COLUMNS = (
    Column("id", "string", "an id", nullable=False),
    Column("day", "date", "a day", nullable=False),
    Column("number", "int", "a number", check=between(0, 10)),
    Column("share", "float", "a share"),
    Column("since", "date", "a date"),
    Column("kind", "string", "a kind", nullable=False, check=one_of("a", "b")),
    Column("parts", "struct<x: string, y: array<struct<z: int>>>", "parts"),
)
THINGS = Table("silver.things", "Things.", COLUMNS, ("id",), Write.MERGE, ("day",), retention_days=10)
DDL = THINGS.ddl()
ROW = ("1", DAY, 3, 1.5, date(2026, 1, 1), "a", ("x", [(1,)]))


def declared(*more: Column, table: Table = THINGS, **changes: dict) -> Table:
    """THINGS with some of its columns changed and ``more`` added."""
    return replace(table, columns=(*(replace(c, **changes.get(c.name, {})) for c in table.columns), *more))


@pytest.fixture
def things(lake):
    """The lake, with one row in THINGS."""
    lake.write(THINGS, lake.spark.createDataFrame([ROW], DDL))
    return lake


def fresh(lake: Lake) -> Lake:
    """As a process that starts now sees it."""
    return Lake(lake.spark, lake.settings)


def fields(lake) -> dict:
    return {f.name: f for f in delta_log.open_table(lake.settings, THINGS).schema().fields}


def add(lake, table: Table, row: tuple) -> None:
    lake.spark.createDataFrame([row], table.ddl()).write.format("delta").mode("append").save(lake.uri(table))


def test_what_is_as_declared_makes_no_version(things):
    before = things.state(THINGS).version
    assert evolution.evolve(fresh(things), THINGS) == []
    assert things.state(THINGS).version == before
    for table in (EVENTS,):
        things.ensure(table)
        assert evolution.plan(things.settings, table).changes == []


def test_a_new_optional_column_and_struct_field_are_changes_of_the_log_alone(things):
    files = set(delta_log.open_table(things.settings, THINGS).file_uris())
    wider = declared(
        Column("note", "string", "a note"),
        parts={"type": "struct<x: string, y: array<struct<z: int, w: double>>, v: int>"},
    )
    lake = fresh(things)
    lake.ensure(wider)
    assert set(delta_log.open_table(lake.settings, THINGS).file_uris()) == files
    expected = {**dict(zip(THINGS.column_names, ROW, strict=True)), "note": None}
    expected["parts"] = {"x": "x", "y": [{"z": 1, "w": None}], "v": None}
    assert arrow.read(lake.settings, wider).to_pylist() == [expected]  # delta-rs
    assert lake.read(wider).collect()[0].asDict(recursive=True) == expected  # Spark
    lake.write(wider, lake.spark.createDataFrame([("2", *ROW[1:6], ("x", [(1, 0.5)], 7), "note")], wider.ddl()))
    assert {r["note"] for r in arrow.read(lake.settings, wider, ["note"]).to_pylist()} == {None, "note"}


def test_a_new_event_type_replaces_the_rule_in_one_commit(things):
    lake = fresh(things)
    more = declared(kind={"check": one_of("a", "b", "c")})
    before = lake.state(THINGS).version
    (change,) = evolution.evolve(lake, more)
    assert (change.kind, change.subject) == ("constraint", "kind_valid")
    assert lake.state(THINGS).version == before + 1
    add(lake, more, ("2", *ROW[1:5], "c", ROW[6]))
    with pytest.raises(Exception, match="kind_valid"):
        add(lake, more, ("3", *ROW[1:5], "d", ROW[6]))


def test_a_stricter_rule_is_taken_only_if_every_row_keeps_it(things):
    evolution.evolve(fresh(things), declared(number={"check": between(0, 3)}))
    with pytest.raises(
        evolution.EvolutionRefused, match=r"silver.things: 1 rows break .* number_valid .*enforced=False"
    ):
        evolution.evolve(fresh(things), declared(number={"check": between(0, 2)}))
    configuration = delta_log.open_table(things.settings, THINGS).metadata().configuration
    assert configuration["delta.constraints.number_valid"] == "number IS NULL OR (number >= 0 AND number <= 3)"


def test_a_rule_that_is_no_longer_declared_is_dropped(things):
    evolution.evolve(
        fresh(things), declared(number={"check": None}, kind={"check": Check("one_of", ("z",), True, False)})
    )
    configuration = delta_log.open_table(things.settings, THINGS).metadata().configuration
    assert not any(name.startswith("delta.constraints") for name in configuration)


def test_types_are_widened_and_everything_else_stays(things):
    wider = declared(
        Column("note", "string", "a note"),
        number={"type": "bigint"},
        share={"type": "double"},
        since={"type": "timestamp"},
        parts={"type": "struct<x: string, y: array<struct<z: bigint>>>"},
    )
    evolution.evolve(fresh(things), wider)
    assert evolution.plan(things.settings, wider).changes == []
    row = arrow.read(things.settings, wider).to_pylist()[0]
    assert (row["id"], row["number"], row["share"], row["since"].date(), row["parts"]["y"]) == (
        "1", 3, 1.5, date(2026, 1, 1), [{"z": 1}]
    )  # fmt: skip
    found = fields(things)
    assert (found["id"].nullable, found["number"].nullable, found["id"].metadata["comment"]) == (False, True, "an id")
    assert delta_log.open_table(things.settings, THINGS).protocol().min_reader_version == 1
    big = ("2", DAY, 2**40, 0.1, datetime(2026, 1, 1), "a", ("x", [(2**40,)]), None)
    with pytest.raises(Exception, match="number_valid"):
        add(things, wider, big)


def test_a_row_that_lands_while_a_type_is_widened_is_not_lost(things):
    wider = declared(share={"type": "double"})
    stale = delta_log.open_table(things.settings, THINGS)
    (change,) = evolution.plan(things.settings, wider).changes
    add(things, THINGS, ("2", *ROW[1:]))
    with pytest.raises(Exception) as lost:
        change.apply(things, stale)
    assert is_conflict(lost.value)
    evolution.evolve(fresh(things), wider)
    assert sorted(arrow.read(things.settings, wider, ["id"])["id"].to_pylist()) == ["1", "2"]


def test_comments_properties_and_a_column_made_optional(things):
    table = replace(
        declared(kind={"nullable": True, "description": "any kind"}),
        description="Many things.",
        retention_days=20,
        properties={"delta.logRetentionDuration": "interval 7 days"},
    )
    evolution.evolve(fresh(things), table)
    found, metadata = fields(things)["kind"], delta_log.open_table(things.settings, THINGS).metadata()
    assert (found.nullable, found.metadata["comment"], metadata.description) == (True, "any kind", "Many things.")
    assert metadata.configuration["soundlake.retention_days"] == "20"
    assert metadata.configuration["delta.logRetentionDuration"] == "interval 7 days"
    add(things, table, (*ROW[:5], None, ROW[6]))


REFUSED = {
    "dropped": (replace(THINGS, columns=COLUMNS[:6]), r"column parts struct<x: .* no longer declared\. Declare"),
    "renamed": (
        replace(THINGS, columns=(*COLUMNS[:2], Column("amount", "int", "a number"), *COLUMNS[3:])),
        r"column number int is in the table and no longer declared \(renamed to amount\?\)",
    ),
    "narrowed": (declared(number={"type": "smallint"}), "column number can not go from int to smallint"),
    "changed": (declared(id={"type": "bigint"}), "column id can not go from string to bigint"),
    "a field dropped": (declared(parts={"type": "struct<x: string>"}), r"column parts.y can not go from array<struct"),
    "made required": (declared(share={"nullable": False}), "share float is optional and can not become required"),
    "new and required": (declared(Column("new", "int", "n", False)), "new column new int has to be optional"),
    "another key": (replace(THINGS, key=("id", "day")), "its key is id, declared id,day"),
    "other partitions": (replace(THINGS, partition_by=(), retention_days=None), "partitioned by day, declared by none"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_reason_and_nothing_is_changed(lake, case):
    table, text = REFUSED[case]
    lake.ensure(THINGS)
    with pytest.raises(evolution.EvolutionRefused, match=text):
        fresh(lake).ensure(replace(table, description="Something else."))
    assert lake.state(THINGS).version == 0
    assert evolution.plan(lake.settings, table).refused


def test_many_that_start_at_once_make_each_change_once(things):
    wider = declared(
        Column("note", "string", "a note"),
        kind={"check": one_of("a", "b", "c"), "description": "new"},
        share={"type": "double"},
    )
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fresh(things).ensure(wider), range(4)))
    assert evolution.plan(things.settings, wider).changes == []
    assert arrow.read(things.settings, wider).num_rows == 1
    operations = [c["operation"] for c in delta_log.open_table(things.settings, THINGS).history()]
    assert operations.count("WRITE") == 2  # the row and one rewrite


def test_the_plan_tells_and_does_not_touch(lake):
    lake.ensure(THINGS)
    wider = declared(Column("note", "string", "a note"), share={"type": "double"})
    texts = [change.text for change in evolution.plan(lake.settings, wider).changes]
    assert texts == ["share: float to double (rewrites the table)", "add note string"]
    assert lake.state(THINGS).version == 0
    assert evolution.plan(lake.settings, replace(THINGS, name="silver.absent")) is None


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("x IN ('a')", "x IN ('a', 'b')", True),
        ("x IN ('a', 'b')", "x IN ('a')", False),
        ("x IN ('a')", "x IS NULL OR (x IN ('a'))", True),
        ("x IS NULL OR (x IN ('a'))", "x IN ('a')", False),
        ("x >= 0 AND x <= 1", "x >= 0", True),
        ("x >= 0", "x >= 0 AND x <= 1", False),
        ("x >= 0 AND x <= 1", "x >= -1.5 AND x <= 1", True),
        ("x >= 0 AND x <= 1", "x IN ('a')", False),
    ],
)
def test_which_rules_are_looser(old, new, answer):
    assert evolution.loosens(old, new) is answer


def test_the_plan_needs_no_spark():
    code = "import sys, lakehouse.evolution; sys.exit('pyspark' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
