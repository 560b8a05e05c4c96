"""The assets of feature views: one table each, made by the graph from the tables it names."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.describe import key_of
from lakehouse.features.batch import HOUR
from lakehouse.settings import use_lake
from lakehouse.tables.features import FEATURE_TABLES


@pytest.fixture
def run_refresh(simulated, monkeypatch):
    """run_refresh(table, configuration) -> the rows of the table after its asset was materialised."""
    from orchestration.definitions import defs

    monkeypatch.setenv("SOUNDLAKE_STATE", str(simulated.lake.settings.state))
    use_lake(simulated.lake.settings.lake)

    def run(table, config: dict | None = None) -> list[dict]:
        result = defs.resolve_job_def("refresh").execute_in_process(
            asset_selection=[key_of(table)],
            instance=dg.DagsterInstance.ephemeral(),
            run_config={"ops": {f"{table.layer}__{table.short_name}": {"config": config or {}}}},
        )
        assert result.success
        made = result.asset_materializations_for_node(f"{table.layer}__{table.short_name}")
        assert "as of" in made[0].metadata
        return simulated.lake.read(table).toArrow().to_pylist()

    return run


def test_an_asset_makes_the_table_as_of_the_newest_hour_or_an_asked_one(run_refresh, simulated):
    table = FEATURE_TABLES["user_ads"]
    newest = run_refresh(table)
    assert {row["as_of"] for row in newest} == {simulated.as_of}
    early = simulated.as_of - 72 * HOUR
    rows = run_refresh(table, {"as_of": early.isoformat()})
    assert {row["as_of"] for row in rows} == {early}
    assert 0 < sum(row["ads_30d"] for row in rows) < sum(row["ads_30d"] for row in newest)
