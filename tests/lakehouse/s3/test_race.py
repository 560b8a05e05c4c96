"""Two Spark drivers and delta-rs, each a process of its own, append to one table: no reported commit is lost.

A short form of ``python -m benchmarks.race``.
"""

from __future__ import annotations

import pytest

from benchmarks.race import OURS, race, settings_of, writers

COMMITS = 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_every_reported_commit_is_there_and_nothing_else(s3, tmp_path):
    stores = {
        "S3": settings_of(f"s3://{s3.bucket()}/lake", tmp_path / "state", s3.endpoint),
        "local disk": settings_of(str(tmp_path / "lake"), tmp_path / "state"),
    }
    with writers(OURS, tmp_path) as running:
        for store, settings in stores.items():
            outcome = race(running, settings, "race.table", COMMITS)
            assert outcome.errors == (), store
            assert (outcome.lost, outcome.doubled, outcome.unreported) == (0, 0, 0), store
            assert outcome.rows == outcome.reported == outcome.tried == COMMITS * len(OURS), store
