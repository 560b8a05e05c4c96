"""What runs next: days that a kill left between ledger and silver, and assets that are behind or failed a check."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg
import pytest
from raw_zone import DAY

from orchestration import unfinished
from orchestration.plan import stale_assets
from orchestration.unfinished import unfinished_days

NEXT = DAY + timedelta(1)
DAYS = dg.DailyPartitionsDefinition("2026-01-01")
RANGE = {"dagster/asset_partition_range_start": f"{DAY}", "dagster/asset_partition_range_end": f"{NEXT}"}


class World:
    """A small graph with the names of ours: silver/listens -> silver/sessions -> gold/sequences."""

    def __init__(self, instance: dg.DagsterInstance):
        self.instance = instance
        self.passes = True

        @dg.asset(key=["silver", "listens"], partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
        def listens() -> None: ...

        @dg.asset(key=["silver", "sessions"], deps=[listens])
        def sessions() -> None: ...

        @dg.asset(key=["gold", "sequences"], deps=[sessions])
        def sequences() -> None: ...

        def checked(asset, name: str, partitions=None):
            @dg.asset_check(asset=asset, name=name, blocking=True, partitions_def=partitions)
            def check() -> dg.AssetCheckResult:
                return dg.AssetCheckResult(passed=self.passes)

            return check

        self.defs = dg.Definitions(
            [listens, sessions, sequences],
            asset_checks=[checked(sessions, "unique_key"), checked(listens, "complete", DAYS)],
            jobs=[
                dg.define_asset_job("ingest", selection=[listens], partitions_def=DAYS),
                dg.define_asset_job("nightly", selection=[sessions, sequences]),
            ],
            executor=dg.in_process_executor,
        )

    def run(self, job: str, *assets: str, **options) -> bool:
        keys = [dg.AssetKey(name.split("/")) for name in assets] or None
        job_def = self.defs.resolve_job_def(job)
        return job_def.execute_in_process(
            instance=self.instance, asset_selection=keys, raise_on_error=False, **options
        ).success

    def stale(self) -> list[str]:
        return [key.to_user_string() for key in stale_assets(self.defs, self.instance)]


@pytest.fixture
def world():
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance)


def test_what_never_ran_or_is_older_than_a_parent_is_stale(world):
    assert world.stale() == ["silver/sessions", "gold/sequences"]
    assert world.run("nightly")
    assert world.stale() == []
    assert world.run("nightly", "silver/sessions")
    assert world.stale() == ["gold/sequences"]
    assert world.run("ingest", tags=RANGE)
    assert world.stale() == ["silver/sessions", "gold/sequences"]


def test_what_failed_a_blocking_check_is_made_again_before_anything_downstream(world):
    world.passes = False
    assert not world.run("nightly")
    assert world.stale() == ["silver/sessions", "gold/sequences"]
    world.passes = True
    assert world.run("nightly")
    assert world.stale() == []


def unfinished_in(world, settings, monkeypatch, closed: dict[date, float]) -> set[date]:
    monkeypatch.setattr(unfinished, "_ledger_days", lambda _: closed)
    monkeypatch.setattr(unfinished, "_FACTS", (unfinished.LISTENS,))
    return unfinished_days(world.defs, settings, world.instance)


def test_days_of_the_ledger_whose_facts_are_older_are_unfinished(world, settings, monkeypatch):
    assert unfinished_days(world.defs, settings, world.instance) == set()  # no ledger yet
    assert unfinished_in(world, settings, monkeypatch, {DAY: 1.0}) == {DAY}
    assert world.run("ingest", tags=RANGE)
    far = 1e11
    assert unfinished_in(world, settings, monkeypatch, {DAY: 1.0, NEXT: 1.0}) == set()
    assert unfinished_in(world, settings, monkeypatch, {DAY: 1.0, NEXT: far}) == {NEXT}
    assert unfinished_in(world, settings, monkeypatch, {DAY: 1.0, date(2026, 1, 9): 1.0}) == {date(2026, 1, 9)}


def test_days_whose_facts_failed_a_check_are_unfinished(world, settings, monkeypatch):
    world.passes = False
    assert not world.run("ingest", tags=RANGE)
    assert unfinished_in(world, settings, monkeypatch, {DAY: 1.0, NEXT: 1.0}) == {DAY, NEXT}
    world.passes = True
    assert world.run("ingest", tags=RANGE)
    assert unfinished_in(world, settings, monkeypatch, {DAY: 1.0, NEXT: 1.0}) == set()
