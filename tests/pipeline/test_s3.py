"""A lake on a real S3 server: the same tables, row for row, as on local disk, also after an outage in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import AssetKey
from raw_zone import DAY, RawZone, raw_event
from servers.busy import BusyProxy
from servers.s3 import S3Server, proxy_to, s3  # noqa: F401
from whole_lake import content, prepare_lake

from lakehouse.settings import Settings, get_settings, use_lake
from lakehouse.storage import LocalStorage, StorageError, storage_for

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]

NEXT = DAY + timedelta(1)
FACTS = ("bronze.events", "bronze.catalogue", "bronze.quarantine", "bronze.files", "silver.listens", "silver.feedback")


# One of each kind of write and of input; the other tables of gold are made the same way.
REFRESHED = ("silver.sessions", "silver.tracks", "silver.artists", "silver.users", "gold.user_features")


def dumps(raw: RawZone) -> None:
    """Two days: plays of two listeners, a late skip, a like, a search, a track, an artist, a bad line."""
    raw.events(
        [raw_event(event_id=f"e{n}", at=f"12:{n:02}:00", user_id=f"u{n % 2}") for n in range(30)]
        + [raw_event("search", event_id="q"), b"bad"]
    )
    late = {"track_id": "t1", "play_event_id": "e3", "position_ms": 1000}
    raw.events(
        [raw_event("skip", event_id="s", day=NEXT, payload=late), raw_event("like", event_id="l", day=NEXT)], day=NEXT
    )
    raw.events([raw_event(event_id=f"n{n}", day=NEXT) for n in range(20)], name="b", day=NEXT)
    raw.entities("tracks", [{"track_id": "t1", "title": "One", "artist_id": "a1"}])
    raw.entities("artists", [{"artist_id": "a1", "name": "First"}], day=NEXT)


def copy_raw(folder: Path, settings: Settings) -> None:
    target = storage_for(settings.lake, settings.s3)
    source = LocalStorage(folder)
    for entry in source.list("raw"):
        with source.open_read(entry.path) as stream:
            target.write_atomic(entry.path, stream.read())


def ingest(settings: Settings) -> list:
    from orchestration.cli.run import ingest_pending
    from orchestration.home import instance

    with instance(settings) as dagster:
        return ingest_pending(settings, dagster)


def refresh(settings: Settings) -> None:
    from orchestration.cli.common import console
    from orchestration.definitions import defs
    from orchestration.home import instance
    from orchestration.runner import run_job

    with instance(settings) as dagster:
        report = run_job(defs, "refresh", dagster, console, assets=[AssetKey(name.split(".")) for name in REFRESHED])
    assert report.success, report.failed_steps


@pytest.fixture(scope="module")
def local(tmp_path_factory, spark):
    """A local lake with every fact taken in; -> its settings."""
    folder = tmp_path_factory.mktemp("local") / "lake"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDLAKE_PSEUDONYM_KEY", "test")
        patch.setenv("SOUNDLAKE_LAKE", "")
        get_settings.cache_clear()
        settings, raw = prepare_lake(folder)
        dumps(raw)
        assert all(report.success for report in ingest(settings))
    get_settings.cache_clear()
    return settings


@pytest.fixture
def on_s3(s3: S3Server, tmp_path, monkeypatch):  # noqa: F811
    """-> use(endpoint): settings of an empty lake, as commands find them."""
    monkeypatch.setenv("SOUNDLAKE_PSEUDONYM_KEY", "test")
    monkeypatch.setenv("SOUNDLAKE_STATE", str(tmp_path / "state"))

    def use(endpoint: str) -> Settings:
        monkeypatch.setenv("SOUNDLAKE_S3_ENDPOINT", endpoint)
        return use_lake(f"s3://{s3.bucket()}/some/lake")

    return use


def test_the_same_tables_as_on_local_disk(local, on_s3, s3):  # noqa: F811
    settings = on_s3(s3.endpoint)
    copy_raw(Path(local.lake), settings)
    reports = ingest(settings)
    assert reports and all(report.success for report in reports)
    assert content(settings, *FACTS) == content(local, *FACTS)
    assert content(local, "silver.listens")["silver.listens"]
    refresh(settings)
    use_lake(local.lake)
    refresh(local)
    assert content(settings, *REFRESHED) == content(local, *REFRESHED)
    assert content(local, "gold.user_features")["gold.user_features"]
    assert ingest(settings) == []


def cut_off(port: int, folder: Path) -> Iterator[tuple[str, Callable[[threading.Event], None]]]:
    """Slow answers, connections that end after a while, then none at all for some seconds."""
    with proxy_to(port, folder) as proxy:

        def trouble(healed: threading.Event) -> None:
            proxy.toxic("latency", latency=100, jitter=50)
            proxy.toxic("limit_data", toxicity=0.2, bytes=2000)
            healed.wait(5)
            proxy.cut()
            healed.wait(8)
            proxy.heal()

        yield proxy.endpoint, trouble


def too_busy(port: int, _folder: Path) -> Iterator[tuple[str, Callable[[threading.Event], None]]]:
    """Every request is answered by 503 Slow Down for 20 seconds."""
    with BusyProxy(port) as proxy:

        def trouble(healed: threading.Event) -> None:
            healed.wait(3)
            proxy.busy.set()
            healed.wait(20)
            proxy.busy.clear()

        yield proxy.endpoint, trouble
        assert proxy.refused.is_set()


@pytest.mark.chaos
@pytest.mark.parametrize("outage", [cut_off, too_busy])
def test_after_an_outage_the_next_run_ends_with_the_same_tables(local, on_s3, s3, tmp_path, outage):  # noqa: F811
    """The outage comes in the middle of a run."""
    with contextmanager(outage)(s3.port, tmp_path) as (endpoint, trouble):
        settings = on_s3(endpoint)
        copy_raw(Path(local.lake), settings)
        healed = threading.Event()
        troubles = threading.Thread(target=trouble, args=(healed,))
        troubles.start()
        try:
            reports = ingest(settings)
        except StorageError:  # away too long before the run had begun: a command ends with that line
            reports = []
        finally:
            healed.set()
            troubles.join()
        if not reports or not all(report.success for report in reports):
            reports = ingest(settings)
        assert reports and all(report.success for report in reports)
        assert content(settings, *FACTS) == content(local, *FACTS)
        assert ingest(settings) == []
