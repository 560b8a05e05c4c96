"""Whole runs on small lakes, in this process and its Spark session."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lakehouse.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def pseudonyms(monkeypatch):
    """One key for all lakes, so that their tables can be compared."""
    monkeypatch.setenv("SOUNDLAKE_PSEUDONYM_KEY", "test")
    get_settings.cache_clear()


@pytest.fixture
def run_ingest(spark) -> Callable:
    """run_ingest(settings) -> reports of the job `ingest` for what is pending, as `soundlake run` does it."""

    def run(settings: Settings) -> list:
        from orchestration.cli.run import ingest_pending
        from orchestration.home import instance

        with instance(settings) as dagster:
            return ingest_pending(settings, dagster)

    return run
