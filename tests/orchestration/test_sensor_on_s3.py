"""The raw sensor looks at a bucket through the resource `s3`."""

from __future__ import annotations

import dagster as dg
import pytest
from raw_zone import DAY
from servers.s3 import s3  # noqa: F401

from lakehouse.settings import use_lake
from lakehouse.storage import StorageError, storage_for
from orchestration.resources import RESOURCES
from orchestration.runner import RANGE_START
from orchestration.sensors import raw_files


def tick(cursor: str | None = None) -> dg.SensorResult:
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"s3": RESOURCES["s3"]})
        return raw_files(context)


def test_files_in_the_bucket_ask_for_a_run(s3, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SOUNDLAKE_S3_ENDPOINT", s3.endpoint)
    monkeypatch.setenv("SOUNDLAKE_STATE", str(tmp_path / "state"))
    settings = use_lake(f"s3://{s3.bucket()}/some/lake")
    assert str(tick().skip_reason.skip_message).startswith("The ledger has every raw file")
    raw = storage_for(settings.lake, settings.s3)
    raw.write_atomic(f"raw/events/date={DAY}/hour=00/a.jsonl", b"{}")
    (request,) = tick().run_requests
    assert (request.tags[RANGE_START], request.tags["soundlake/files"]) == (str(DAY), "1")
    raw.write_atomic(f"raw/events/date={DAY}/hour=00/b.jsonl", b"{}")
    (behind,) = tick(cursor=f"raw/events/date={DAY}/hour=00/a.jsonl").run_requests
    assert behind.tags["soundlake/files"] == "1"  # only what lies behind the cursor was listed
    use_lake("s3://nowhere-at-all/lake")
    with pytest.raises(StorageError, match="bucket 'nowhere-at-all' does not exist"):
        tick()
