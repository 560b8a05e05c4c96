"""What Dagster is told of a table, and the days of a run."""

from datetime import date

import dagster as dg
import pytest

from assets.bronze import raw_dumps
from assets.checks import CHECKS
from assets.describe import PARTITIONS, asset_arguments, column_schema, days_of, key_of, spec_arguments
from lakehouse.quality import properties_of
from lakehouse.tables import TABLES, get_table


def test_a_table_is_described_by_its_contract():
    table = get_table("silver.listens")
    arguments = spec_arguments(table)
    assert arguments["key"] == key_of(table) == dg.AssetKey(["silver", "listens"])
    assert arguments["description"] == table.description
    assert arguments["tags"] == {"layer": "silver", "domain": "listening", "pii": "true"}
    shown = {name: value for name, value in arguments["metadata"].items() if name != "dagster/column_schema"}
    assert shown == {
        "dagster/table_name": "silver.listens",
        "key": "event_id",
        "write": "merge by key",
        "files partitioned": "by event_date",
        "retention": "400 days",
    }


def test_columns_tell_rules_and_personal_data():
    columns = {column.name: column for column in column_schema(get_table("silver.users")).columns}
    assert columns["user_key"].constraints == dg.TableColumnConstraints(nullable=False, unique=True, other=[])
    assert columns["birth_year"].constraints.other == ["1900 ≤ value ≤ 2100"]
    assert columns["birth_year"].tags == {"pii": "personal"}
    assert columns["has_profile"].tags == {}


def test_facts_have_partitions_and_the_rest_follows_its_parents():
    facts = asset_arguments(get_table("silver.listens"), partitioned=True)
    whole = asset_arguments(get_table("silver.sessions"))
    assert facts["partitions_def"] == PARTITIONS and "automation_condition" not in facts
    assert "partitions_def" not in whole and whole["automation_condition"] and whole["freshness_policy"]
    assert facts["io_manager_key"] == whole["io_manager_key"] == "delta"


@pytest.mark.parametrize(
    ("first", "last"), [("2026-01-05", "2026-01-05"), ("2025-12-31", "2026-01-06"), ("2005-01-01", "2005-01-01")]
)
def test_the_days_of_a_run_are_its_partitions_both_ends_included(first, last):
    @dg.asset(partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run())
    def seen(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        days = days_of(context)
        return dg.MaterializeResult(metadata={"days": [str(day) for day in days]})

    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    result = dg.materialize([seen], tags=tags, partition_key=None)
    days = result.asset_materializations_for_node("seen")[0].metadata["days"].value
    assert days == [first, last]
    assert date.fromisoformat(days[0]) <= date.fromisoformat(days[1])


def test_every_table_below_bronze_is_checked_in_all_its_properties():
    checked = {(spec.asset_key, spec.name) for check in CHECKS for spec in check.check_specs}
    for table in TABLES.values():
        if table.layer != "bronze" or table.name == "bronze.events":
            assert {(key_of(table), name) for name in properties_of(table)} <= checked
    assert (key_of(get_table("bronze.quarantine")), "quarantine_share") in checked


def test_the_raw_zone_is_the_root_of_the_graph():
    assert raw_dumps.key == dg.AssetKey(["raw", "dumps"])
    assert raw_dumps.tags["pii"] == "true"
