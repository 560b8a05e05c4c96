"""gold.listener_memory as an asset: what it writes, what it leaves alone, and what its checks refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from assets import memory
from lakehouse import delta_log
from lakehouse.tables.gold import LISTENER_MEMORY, SEQUENCES
from models import train_session
from models.lake_memory import memories
from models.recommend.sequence.config import SequenceConfig
from models.recommend.sequence.memory_table import Space
from models.vocabulary import Vocabulary
from orchestration.io_manager import DeltaIOManager

AT = datetime(2026, 1, 4, tzinfo=UTC)


def space(name: str) -> Space:
    vectors = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    return Space(name, Vocabulary(["t0", "t1", "t2"]), vectors, SequenceConfig(dim=2))


@pytest.fixture
def champion(monkeypatch):
    """Whose space the asset works in; None: nobody's."""
    now = SimpleNamespace(space=space("first"), known=["first"])
    there = lambda *_: SimpleNamespace(space=now.space) if now.space else None  # noqa: E731
    monkeypatch.setattr(train_session, "champion_session", there)
    monkeypatch.setattr(train_session, "spaces", lambda *_: now.known)
    return now


def play(settings, **listeners) -> None:
    """Write gold.sequences: user=[(track, minutes), …]."""
    delta_log.create(settings, SEQUENCES)
    kinds = {field.name: field.type for field in pa.schema(DeltaTable(delta_log.uri(settings, SEQUENCES)).schema())}
    rows = []
    for user, plays in listeners.items():
        row = {name: [None] * len(plays) for name, kind in kinds.items() if "list" in str(kind)}
        row |= {"user_key": user, "plays": len(plays), "clock": "event", "track_ids": [t for t, _ in plays]}
        rows.append(row | {"occurred_at": [AT + timedelta(minutes=m) for _, m in plays]})
    write_deltalake(delta_log.uri(settings, SEQUENCES), pa.Table.from_pylist(rows, pa.schema(kinds)), mode="overwrite")


def run(lake) -> dg.ExecuteInProcessResult:
    resources = {"settings": lake.settings, "lake": lake, "delta": DeltaIOManager(lake)}
    assets = [memory.listener_memory, memory.vectors_are_finite, memory.not_of_the_future]
    return dg.materialize(assets, resources=resources, raise_on_error=False)


def shown(result) -> dict:
    [made] = result.asset_materializations_for_node("gold__listener_memory")
    return {name: value.value for name, value in made.metadata.items()}


def test_only_sessions_that_have_ended_since_are_written(lake, settings, champion):
    play(settings, ann=[("t0", 0)], ben=[("t1", 0), ("t2", 90)])
    first = run(lake)
    assert first.success and all(check.passed for check in first.get_asset_check_evaluations())
    assert (shown(first)["listeners updated"], shown(first)["dagster/row_count"], shown(first)["space"]) == (
        2,
        2,
        "first",
    )
    version = lake.state(LISTENER_MEMORY).version
    assert shown(run(lake))["listeners updated"] == 0
    assert lake.state(LISTENER_MEMORY).version == version, "nothing new, nothing written"

    play(settings, ann=[("t0", 0)], ben=[("t1", 0), ("t2", 90), ("t0", 200)])
    again = shown(run(lake))
    assert (again["rows updated"], again["rows inserted"], again["dagster/row_count"]) == (1, 0, 2)
    found = memories(settings, champion.space)
    v, d = champion.space.vectors, np.float32(0.7)
    np.testing.assert_allclose(found["ben"].memory.vector, d * (1 - d) * v[1] + (1 - d) * v[2], rtol=1e-6)
    assert found["ben"].memory.as_of == round((AT + timedelta(minutes=90)).timestamp() * 1000)
    before = DeltaTable(delta_log.uri(settings, LISTENER_MEMORY), version=version).to_pyarrow_table()
    assert sorted(before["sessions"].to_pylist()) == [1, 1], "the earlier version of the table is still there"


def test_a_new_model_begins_a_space_of_its_own_and_old_ones_go(lake, settings, champion):
    play(settings, ann=[("t0", 0)], ben=[("t1", 90)])
    run(lake)
    champion.space, champion.known = space("second"), ["second", "first"]
    assert shown(run(lake))["dagster/row_count"] == 2
    assert memories(settings, space("first"), ["ann"])["ann"].memory.version == "first"
    assert set(memories(settings, champion.space, ["ann", "ben"])) == {"ann"}
    champion.space, champion.known = space("fifth"), ["fifth", "fourth", "third", "second", "first"]
    run(lake)
    assert not memories(settings, space("first")) and not memories(settings, space("second"))
    assert set(memories(settings, champion.space)) == {"ann"}


def test_without_a_model_nothing_is_remembered(lake, settings, champion):
    play(settings, ann=[("t0", 0)], ben=[("t1", 90)])
    champion.space = None
    assert run(lake).success
    assert lake.state(LISTENER_MEMORY).rows == 0


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        ({"vector": [1.0, float("nan")]}, "vectors_are_finite", "ann: not finite"),
        ({"vector": [0.0, 0.0]}, "vectors_are_finite", "ann: all zeros"),
        ({"vector": [1.0]}, "vectors_are_finite", "1 numbers, others of its space have 2"),
        ({"as_of": datetime(2999, 1, 1, tzinfo=UTC)}, "not_of_the_future", "ann: as_of 2999-01-01"),
    ],
)
def test_checks_refuse(lake, settings, champion, change, check, said):
    play(settings, ann=[("t0", 0)], ben=[("t1", 0)], eve=[("t1", 90)])
    run(lake)
    table = DeltaTable(delta_log.uri(settings, LISTENER_MEMORY))
    rows = sorted(table.to_pyarrow_table().to_pylist(), key=lambda row: row["user_key"] != "ben")
    rows = [row | change if row["user_key"] == "ann" else row for row in rows]
    schema = table.to_pyarrow_table().schema
    write_deltalake(table, pa.Table.from_pylist(rows, schema), mode="overwrite")
    failed = {e.check_name: e for e in run(lake).get_asset_check_evaluations() if not e.passed}
    assert set(failed) == {check}
    assert said in failed[check].description
