"""The asset of the online store and its check, on a real store and a real table."""

from __future__ import annotations

import dagster as dg
import pytest
from taste import NOON, TASTE, VIEW, merge_rows, replace_table

from assets import online
from lakehouse.online.rows import microseconds
from lakehouse.online.store import open_store
from lakehouse.tables import gold


@pytest.fixture(autouse=True)
def views(monkeypatch):
    monkeypatch.setattr(online, "VIEWS", {"taste": VIEW})


def run(settings) -> dg.ExecuteInProcessResult:
    return dg.materialize([online.store, online.agrees_with_delta], resources={"settings": settings})


def metadata_of(result: dg.ExecuteInProcessResult) -> dict:
    [made] = result.asset_materializations_for_node("online__store")
    return {name: value.value for name, value in made.metadata.items()}


def test_every_view_is_brought_up_to_its_table_and_agrees_with_it(settings):
    replace_table(settings, {f"u{i}": i for i in range(200)}, NOON)
    first = run(settings)
    shown = metadata_of(first)
    assert (shown["dagster/row_count"], shown["changed rows"], shown["Delta versions"]) == (200, 200, {"gold.taste": 1})
    assert shown["bytes"] > 0 and shown["store"] == "lmdb"
    assert "| taste | full | 200 |" in shown["views"]
    [check] = first.get_asset_check_evaluations()
    assert check.passed and check.description == "200 of 200 rows agree"

    merge_rows(settings, {"u1": 70}, NOON)
    again = metadata_of(run(settings))
    assert (again["dagster/row_count"], again["changed rows"]) == (200, 1)
    assert "| 1 → 2 |" in again["views"]


def test_the_check_fails_when_a_row_differs(settings):
    replace_table(settings, {"u1": 1}, NOON)
    run(settings)
    with open_store(settings) as store:
        wrong = TASTE.codec.encode([{"plays": 2}], microseconds(NOON))
        store.update(TASTE, [("u1", wrong[0])], [], store.info("taste").source)
    [check] = run(settings).get_asset_check_evaluations()
    assert not check.passed
    assert "taste, u1: plays" in check.description


def test_a_view_whose_table_is_not_made_yet_is_named(settings):
    result = run(settings)
    assert metadata_of(result)["without a table"] == "taste"
    assert not result.get_asset_check_evaluations()[0].passed


def test_the_views_of_the_lake_are_made_from_tables_with_a_change_data_feed():
    from lakehouse.online.views import VIEWS

    assert {gold.USER_FEATURES.name, gold.TRACK_FEATURES.name} <= {view.table.name for view in VIEWS.values()}
    for view in VIEWS.values():
        assert view.table.properties["delta.enableChangeDataFeed"] == "true", view.name
