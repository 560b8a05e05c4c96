"""The graph as Dagster loads it: assets, dependencies, checks, jobs, schedule, sensors."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest
from raw_zone import DAY

from assets.describe import PARTITIONS, column_schema, key_of
from lakehouse.features.views import VIEWS
from lakehouse.online.views import VIEWS as ONLINE
from lakehouse.tables import TABLES
from orchestration.definitions import defs

# asset -> what it is made from: a change of the graph shows here
GRAPH = {
    "raw/dumps": set(),
    "bronze/events": {"raw/dumps"},
    "bronze/catalogue": {"raw/dumps"},
    "bronze/quarantine": {"raw/dumps"},
    "bronze/files": {"raw/dumps"},
    "silver/listens": {"bronze/events"},
    "silver/feedback": {"bronze/events"},
    "silver/ads": {"bronze/events"},
    "silver/sessions": {"silver/listens"},
    "silver/tracks": {"bronze/catalogue", "silver/listens"},
    "silver/artists": {"bronze/catalogue", "silver/tracks"},
    "silver/users": {"bronze/catalogue", "silver/listens"},
    "gold/interactions": {"silver/listens", "silver/feedback"},
    "gold/sequences": {"silver/listens", "silver/feedback"},
    "gold/user_features": {"silver/listens", "silver/feedback", "silver/sessions", "silver/tracks"},
    "gold/track_features": {"silver/listens", "silver/feedback", "silver/tracks"},
    **{
        f"gold/{view.name}": {"silver/listens", "silver/tracks", *(s.replace(".", "/") for s in view.sources)}
        for view in VIEWS
    },
    "online/store": {key_of(view.table).to_user_string() for view in ONLINE.values()},
    "quality/feature_drift": {"silver/listens"},
    "models/candidate": {"gold/sequences", "gold/track_features", "silver/users"},
    "models/champion": {"models/candidate"},
    "models/compressed_ranker": {"models/champion"},
    "models/compressed_sequence": {"models/champion"},
    "models/edge_bundle": {"models/champion"},
    "models/activity": {"gold/sequences", "gold/track_features", "silver/users"},
    "models/tuned": {"gold/sequences", "gold/track_features"},
    "models/session_model": {"gold/sequences", "gold/track_features", "silver/users"},
    "gold/listener_memory": {"gold/sequences", "models/session_model"},
    "serving/exported_model": {"models/champion"},
    "serving/item_index": {"serving/exported_model"},
    "serving/served_version": {"serving/exported_model", "serving/item_index"},
    "maintenance/tables": set(),
    "stream/kafka": set(),
    "stream/files": set(),
}
PARTITIONED = {
    "bronze/events",
    "bronze/catalogue",
    "bronze/quarantine",
    "bronze/files",
    "silver/listens",
    "silver/feedback",
    "silver/ads",
}
JOBS = {
    "ingest": PARTITIONED,
    "refresh": {k for k in GRAPH if k.startswith(("silver/", "gold/", "online/"))} - PARTITIONED,
    "train": {k for k in GRAPH if k.startswith("models/")} - {"models/tuned"},
    "tune": {"models/tuned"},
    "publish": {"serving/exported_model", "serving/item_index", "serving/served_version"},
    "drift": {"quality/feature_drift"},
    "judge": {"serving/served_version"},
    "maintenance": {"maintenance/tables"},
}
JOBS["nightly"] = JOBS["refresh"] | JOBS["drift"] | JOBS["train"] | JOBS["publish"]


@pytest.fixture(scope="module")
def graph():
    return defs.resolve_asset_graph()


def names(keys) -> set[str]:
    return {key.to_user_string() for key in keys}


def test_assets_and_what_they_are_made_from(graph):
    assert {key.to_user_string(): names(graph.get(key).parent_keys) for key in graph.get_all_asset_keys()} == GRAPH


def test_every_table_of_the_lake_is_an_asset(graph):
    assert {key_of(table) for table in TABLES.values()} <= graph.materializable_asset_keys


def test_assets_say_what_they_are(graph):
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name == key.path[0]
        assert node.description
        assert node.owners == ["team:data-platform"]
        assert node.kinds
        assert node.tags["layer"] == key.path[0]


def test_columns_and_personal_data_are_shown(graph):
    for table in TABLES.values():
        node = graph.get(key_of(table))
        assert [c.name for c in node.metadata["dagster/column_schema"].columns] == table.column_names
        assert node.metadata["dagster/table_name"] == table.name
        assert ("pii" in node.tags) == table.has_personal_data
    user_id = {c.name: c for c in column_schema(TABLES["bronze.events"]).columns}["user_id"]
    assert (user_id.tags, user_id.constraints.nullable) == ({"pii": "identifying"}, False)


def test_facts_are_partitioned_by_landing_day_and_the_rest_is_whole(graph):
    assert names(k for k in graph.get_all_asset_keys() if graph.get(k).partitions_def) == PARTITIONED
    days = PARTITIONS.get_partition_keys(current_time=_noon())
    assert (days[0], days[-1]) == ("2005-01-01", DAY.isoformat())  # today is one of them
    for key in PARTITIONED:
        assert graph.get(dg.AssetKey(key.split("/"))).backfill_policy == dg.BackfillPolicy.single_run()


def _noon():
    from datetime import UTC, datetime

    return datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)


def test_checks_of_every_table_and_which_of_them_block(graph):
    blocking = {key for key in graph.asset_check_keys if graph.get(key).blocking}
    by_asset: dict[str, set[str]] = {}
    for key in blocking:
        by_asset.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    tables = {"bronze/events", *(k for k in GRAPH if k.startswith(("silver/", "gold/")))}
    assert set(by_asset) == tables | {"serving/exported_model", "serving/item_index"}
    assert by_asset["serving/exported_model"] == {"quality_gate", "infra_gate"}
    assert by_asset["serving/item_index"] == {"finds_the_nearest"}
    assert by_asset["gold/track_features"] == {"not_empty", "complete", "unique_key", "valid_values"}
    assert all({"complete", "unique_key"} <= by_asset[table] for table in tables)
    assert {"vectors_are_finite", "not_of_the_future"} <= by_asset["gold/listener_memory"]
    assert names(key.asset_key for key in graph.asset_check_keys - blocking) == {
        "bronze/events",
        "bronze/quarantine",
        "silver/tracks",
        "online/store",
        "quality/feature_drift",
    }


@pytest.mark.parametrize("name", JOBS)
def test_jobs(name):
    job = defs.resolve_job_def(name)
    assert names(job.asset_layer.selected_asset_keys) == JOBS[name]
    assert bool(job.partitions_def) == (name == "ingest")


def test_the_checks_of_an_asset_run_with_its_job():
    checks = defs.resolve_job_def("nightly").asset_layer.asset_graph.asset_check_keys
    assert dg.AssetCheckKey(dg.AssetKey(["gold", "sequences"]), "unique_key") in checks
    assert dg.AssetCheckKey(dg.AssetKey(["serving", "exported_model"]), "infra_gate") in checks


def test_schedule_and_sensors():
    schedule = defs.resolve_schedule_def("nightly")
    assert (schedule.job_name, schedule.cron_schedule, schedule.execution_timezone) == ("nightly", "30 2 * * *", "UTC")
    assert {s.name for s in defs.sensors} == {"raw_files", "new_champion", "canary", "keep_fresh", "keep_streaming"}
    assert defs.resolve_sensor_def("raw_files").job_name == "ingest"
    assert defs.resolve_sensor_def("new_champion").job_name == "publish"
    assert defs.resolve_sensor_def("canary").job_name == "judge"
    assert defs.resolve_sensor_def("keep_streaming").job_name == "stream"


def test_the_definitions_are_valid():
    dg.Definitions.validate_loadable(defs)


def test_loading_the_graph_does_not_load_what_is_heavy():
    code = (
        "import sys, orchestration.definitions\n"
        "heavy = {'tensorflow', 'mlflow', 'great_expectations', 'matplotlib', 'xgboost', 'keras'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
