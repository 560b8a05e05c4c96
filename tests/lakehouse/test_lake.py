"""Writing by contract: idempotent, the newest wins in any order, the contract is enforced."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from raw_zone import DAY

from lakehouse import arrow, delta_log, small_merge
from lakehouse.contract import Column, Sensitivity, Table, Write, between
from lakehouse.lake import ContractMismatch

ROW = "id string, day date, seen timestamp, share double, source_file string"
COLUMNS = (
    Column("id", "string", "an id", nullable=False, sensitivity=Sensitivity.PERSONAL),
    Column("day", "date", "a day", nullable=False),
    Column("seen", "timestamp", "seen at", nullable=False),
    Column("share", "double", "a share", check=between(0, 1)),
    Column("source_file", "string", "file"),
)
MERGED = Table("silver.merged", "Merged.", COLUMNS, ("id",), Write.MERGE, newest_by="seen")
BY_DAY = Table("silver.by_day", "Merged by day.", COLUMNS, ("id",), Write.MERGE, ("day",), newest_by="seen")
REPLACED = Table("silver.replaced", "Replaced.", COLUMNS, ("id",), Write.REPLACE)
APPENDED = Table("bronze.appended", "Appended.", COLUMNS, ("id",), Write.APPEND_ONCE, run_partition="day")


def row(id_: str, hour: int = 0, share: float | None = 0.5, day: date = DAY, file: str = "f") -> tuple:
    return id_, day, datetime(2026, 1, 5, hour), share, file


def write(lake, table, *rows):
    return lake.write(table, lake.spark.createDataFrame(list(rows), ROW))


def content(lake, table) -> list[tuple]:
    rows = arrow.read(lake.settings, table, ["id", "seen", "share", "day"]).to_pylist()
    return sorted((r["id"], r["seen"].hour, r["share"], r["day"]) for r in rows)


@pytest.mark.parametrize("table", [MERGED, BY_DAY, REPLACED, APPENDED], ids=lambda table: table.name)
def test_writing_the_same_rows_again_changes_nothing(lake, table):
    rows = [row("a"), row("b", day=date(2026, 1, 6))]
    first = write(lake, table, *rows)
    before = content(lake, table)
    write(lake, table, *reversed(rows))
    assert content(lake, table) == before
    assert (len(before), first.inserted) == (2, 2)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_the_newest_wins_whatever_the_order_of_arrival(lake, order):
    versions = [row("a", 1, 0.1), row("a", 3, 0.3), row("a", 2, 0.2)]
    for number in order:
        write(lake, BY_DAY, versions[number])
    write(lake, MERGED, *(versions[number] for number in order))
    assert content(lake, BY_DAY) == content(lake, MERGED) == [("a", 3, 0.3, DAY)]


def test_of_equally_new_rows_the_same_one_wins_in_any_order(lake):
    twins = [row("a", 1, 0.1), row("a", 1, 0.2)]
    write(lake, MERGED, *twins)
    chosen = content(lake, MERGED)
    write(lake, REPLACED, *twins[:1])
    write(lake, BY_DAY, *reversed(twins))
    assert content(lake, BY_DAY) == chosen


def test_a_merge_counts_and_an_empty_one_makes_no_version(lake):
    write(lake, BY_DAY, row("a"), row("b"))
    result = write(lake, BY_DAY, row("a", 5), row("c"))
    assert (result.inserted, result.updated) == (1, 1)
    nothing = write(lake, BY_DAY)
    assert not nothing.changed
    assert nothing.version == lake.state(BY_DAY).version == result.version
    assert [r[0] for r in content(lake, BY_DAY)] == ["a", "b", "c"]


def test_replacing_leaves_no_old_row(lake):
    write(lake, REPLACED, row("a"), row("b"))
    write(lake, REPLACED, row("c"))
    assert [r[0] for r in content(lake, REPLACED)] == ["c"]


def test_a_source_file_is_appended_once(lake):
    write(lake, APPENDED, row("a", file="one"))
    write(lake, APPENDED, row("a", file="one"), row("b", file="two"))
    assert [r[0] for r in content(lake, APPENDED)] == ["a", "b"]


@pytest.mark.parametrize("table", [MERGED, REPLACED], ids=lambda table: table.name)
def test_a_value_against_the_contract_is_refused_and_the_table_stays(lake, table):
    write(lake, table, row("a"))
    with pytest.raises(Exception, match="(?i)share_valid"):
        write(lake, table, row("b", share=1.5))
    assert content(lake, table) == [("a", 0, 0.5, DAY)]


def test_null_where_none_may_be_is_refused(lake):
    with pytest.raises(Exception, match="(?i)null"):
        write(lake, MERGED, (None, DAY, datetime(2026, 1, 5), 0.5, "f"))
    assert content(lake, MERGED) == []


def test_a_frame_that_lacks_a_column_is_told_which(lake):
    frame = lake.spark.createDataFrame([("a", DAY)], "id string, day date")
    with pytest.raises(
        ContractMismatch, match="silver.merged: the frame lacks seen, share, source_file; it has id, day"
    ):
        lake.write(MERGED, frame)


def test_reading_by_day(lake):
    write(lake, APPENDED, row("a", file="1"), row("b", day=date(2026, 1, 6), file="2"))
    assert [r.id for r in lake.read(APPENDED, (DAY, DAY)).collect()] == ["a"]
    assert lake.read(APPENDED, (DAY, date(2026, 1, 6))).count() == 2
    with pytest.raises(ContractMismatch, match="silver.merged has no run_partition"):
        lake.read(MERGED, (DAY, DAY))


def test_a_table_is_made_by_its_contract(lake):
    lake.ensure(BY_DAY)
    delta = delta_log.open_table(lake.settings, BY_DAY)
    metadata = delta.metadata()
    assert (metadata.name, metadata.description, metadata.partition_columns) == (BY_DAY.name, "Merged by day.", ["day"])
    assert metadata.configuration["delta.constraints.share_valid"] == "share IS NULL OR (share >= 0 AND share <= 1)"
    fields = {f.name: f for f in delta.schema().fields}
    assert fields["id"].metadata["comment"] == "an id [personal]"
    assert (fields["id"].nullable, fields["share"].nullable) == (False, True)
    state = lake.state(BY_DAY)
    assert (state.version, state.rows, state.files) == (0, 0, 0)


def test_a_missing_table_names_the_command_that_makes_it(settings):
    with pytest.raises(arrow.TableMissing, match="silver.merged does not exist in .*`soundlake run` makes it"):
        arrow.read(settings, MERGED)
    assert delta_log.state(settings, MERGED) is None
    assert delta_log.last_metrics(settings, MERGED) == {}


def test_rows_are_found_by_a_string_whatever_wrote_them(lake):
    write(lake, BY_DAY, row("a"), row("b"))
    write(lake, BY_DAY, row("c"), row("d"), row("b", 2, 0.7))  # merged
    delta_log.open_table(lake.settings, BY_DAY).optimize.z_order(["id"])
    write(lake, BY_DAY, row("x"), row("y"))
    for id_, share in (("a", 0.5), ("b", 0.7), ("y", 0.5)):
        assert arrow.read(lake.settings, BY_DAY, ["share"], arrow.text("id") == id_)["share"].to_pylist() == [share]
    found = arrow.read(lake.settings, BY_DAY, ["id"], arrow.text("id").isin(["c", "x", "none"]))
    assert sorted(found["id"].to_pylist()) == ["c", "x"]


@pytest.mark.parametrize("at_most", [None, 2])
def test_a_merge_that_is_known_to_be_small_is_a_merge(lake, at_most):
    for rows in ([row("a", 1, 0.1)], [row("a", 3, 0.3), row("b")], [row("a", 2, 0.2)], []):
        result = lake.write(BY_DAY, lake.spark.createDataFrame(rows, ROW), at_most=at_most)
    assert not result.changed
    assert content(lake, BY_DAY) == [("a", 3, 0.3, DAY), ("b", 0, 0.5, DAY)]
    with pytest.raises(Exception, match="(?i)share_valid"):
        lake.write(BY_DAY, lake.spark.createDataFrame([row("c", share=1.5)], ROW), at_most=at_most)


def test_a_merge_of_more_than_a_few_rows_is_left_to_spark(lake, monkeypatch):
    monkeypatch.setattr(small_merge, "ROWS", 1)
    write(lake, BY_DAY, row("a"), row("b"))
    result = write(lake, BY_DAY, row("a", 5), row("c"))
    assert (result.inserted, result.updated) == (1, 1)
    assert [r[0] for r in content(lake, BY_DAY)] == ["a", "b", "c"]


def test_batches_are_bounded_and_versions_can_be_read(lake, monkeypatch):
    write(lake, REPLACED, *(row(str(n)) for n in range(5)))
    version = lake.state(REPLACED).version
    write(lake, REPLACED, row("new"))
    monkeypatch.setattr(arrow, "BATCH_ROWS", 2)
    assert [b.num_rows for b in arrow.batches(lake.settings, REPLACED, ["id"])] == [1]
    assert arrow.dataset(lake.settings, REPLACED, version).count_rows() == 5


def test_a_first_load_gives_way_to_a_writer_that_was_faster(lake, monkeypatch):
    """The other writer comes between the look at the empty table and the write."""
    real = lake._first_load

    def beaten(table, frame):
        monkeypatch.undo()
        write(lake, MERGED, row("a", 1, 0.1), row("b", 1, 0.1))
        return real(table, frame)

    monkeypatch.setattr(lake, "_first_load", beaten)
    write(lake, MERGED, row("a", 2, 0.2), row("c", 2, 0.2))
    assert content(lake, MERGED) == [("a", 2, 0.2, DAY), ("b", 1, 0.1, DAY), ("c", 2, 0.2, DAY)]
