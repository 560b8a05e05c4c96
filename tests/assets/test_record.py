"""Every day of a range run has its check result in Dagster, not "Skipped", and the quality page is named."""

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status
from dagster._core.storage.event_log.base import PartitionKeyFilter

from assets.record import report
from lakehouse.lake import Lake
from lakehouse.quality.store import Result, newest_page

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-03-01")
KEY = dg.AssetKey(["bronze", "events"])


def run(settings, passed: bool, first: str, last: str, instance) -> dg.ExecuteInProcessResult:
    @dg.asset(key=KEY, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def events() -> None: ...

    @dg.multi_asset_check(specs=[dg.AssetCheckSpec("volume", asset=KEY, partitions_def=DAYS)])
    def check(context: dg.AssetCheckExecutionContext):
        lake = Lake(None, settings)
        yield from report(context, lake, Result("bronze.events", "volume", passed, False, "told"), {"n": 1})

    job = dg.define_asset_job("j", dg.AssetSelection.all(), partitions_def=DAYS)
    defs = dg.Definitions(assets=[events], asset_checks=[check], jobs=[job])
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return defs.resolve_job_def("j").execute_in_process(instance=instance, tags=tags)


@pytest.mark.parametrize(("passed", "status"), [(True, Status.SUCCEEDED), (False, Status.FAILED)])
def test_every_day_of_a_range_run_has_its_result(settings, passed, status):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(settings, passed, "2026-01-02", "2026-01-04", instance)
        assert result.success
        key = dg.AssetCheckKey(KEY, "volume")
        for day in ("2026-01-02", "2026-01-03", "2026-01-04"):
            (record,) = instance.event_log_storage.get_asset_check_execution_history(
                key, limit=5, partition_filter=PartitionKeyFilter(key=day)
            )
            assert record.status is status
        whole = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert whole.status is status
        metadata = whole.event.dagster_event.event_specific_data.metadata
        assert metadata["quality page"].value == str(newest_page(settings))


def test_of_a_long_range_the_last_days_have_theirs(settings):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(settings, True, "2026-01-01", "2026-02-20", instance)
        days = sorted(e.partition for e in result.get_asset_check_evaluations() if e.partition)
        assert (days[0], days[-1], len(days)) == ("2026-01-21", "2026-02-20", 31)
