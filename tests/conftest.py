"""What all tests share: a quiet environment, one Spark session, a lake of each test's own, and raw dumps."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import pytest
from raw_zone import RawZone

ROOT = Path(__file__).parents[1]
# `pytest` alone puts tests/ on the path, where folders have the names of our packages.
sys.path.insert(0, str(ROOT))

SPARK_MEMORY = "1g"

# Before anything reads them: the developer's own settings do not leak in, and nothing phones home.
for _name in [name for name in os.environ if name.startswith(("SOUNDLAKE_", "AWS_"))]:
    del os.environ[_name]
os.environ.update(
    # Keys of the S3 server that the tests start. Spark's JVM gets them at its start; no other account is ever asked.
    AWS_ACCESS_KEY_ID=f"test-{secrets.token_hex(6)}",
    AWS_SECRET_ACCESS_KEY=secrets.token_hex(20),
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_LOGGING_LEVEL="WARNING",
    GX_ANALYTICS_ENABLED="false",
    DO_NOT_TRACK="true",
    TF_CPP_MIN_LOG_LEVEL="3",
    GRPC_VERBOSITY="ERROR",
)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path_factory):
    """Commands of a test may set variables; the next test does not see them. No ``.env`` of the developer either."""
    from lakehouse.settings import Settings, get_settings

    monkeypatch.setitem(Settings.model_config, "env_file", None)
    before = dict(os.environ)
    get_settings.cache_clear()
    if "boto3" in sys.modules:  # its default session keeps the keys that it has once found
        sys.modules["boto3"].DEFAULT_SESSION = None
    yield
    get_settings.cache_clear()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def settings(tmp_path):
    """Settings of an empty lake of this test's own."""
    from lakehouse.settings import Settings

    return Settings(
        lake=str(tmp_path / "lake"), state=tmp_path / "state", pseudonym_key="test", spark_memory=SPARK_MEMORY
    )


@pytest.fixture
def raw(settings) -> RawZone:
    """The raw zone of ``settings``."""
    return RawZone(Path(settings.lake))


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """The one Spark session of the test run; tests that use it carry the marker ``spark``."""
    from lakehouse.jars import DELTA, KAFKA, S3
    from lakehouse.settings import Settings
    from lakehouse.spark import get_spark

    folder = tmp_path_factory.mktemp("spark")
    session = get_spark(
        Settings(
            lake=str(folder / "lake"),
            state=folder / "state",
            spark_master="local[2]",
            spark_memory=SPARK_MEMORY,
            spark_shuffle_partitions=2,
        ),
        DELTA + S3 + KAFKA,
    )
    yield session
    session.stop()


@pytest.fixture
def lake(spark, settings):
    """An empty lake."""
    from lakehouse.lake import Lake

    return Lake(spark, settings)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items) -> None:
    """Whoever asks for the session is marked, so that no test can forget it. The whole run comes first: it takes
    longest, and beside it the other process goes through the rest."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
