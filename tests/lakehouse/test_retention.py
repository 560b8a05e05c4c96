"""Retention deletes what is older than the contract keeps it, and nothing else; a restore brings a bad load back."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from raw_zone import DAY, raw_event

from lakehouse import arrow, delta_log, maintenance, retention
from lakehouse.ingest import ingest, list_raw, pending, read_ledger
from lakehouse.maintenance import maintain
from lakehouse.restore import RestoreError, read_again, restore
from lakehouse.tables.bronze import EVENTS, FILES

NEXT = DAY + timedelta(1)
LATER = NEXT + timedelta(EVENTS.retention_days)  # the first of the two days is past its retention


@pytest.fixture
def two_days(lake, raw):
    """One event on each of two days, ingested one day after the other; -> (lake, version after the first day)."""
    raw.events([raw_event(event_id="old")])
    ingest(lake, (DAY, DAY))
    version = lake.state(EVENTS).version
    raw.events([raw_event(event_id="new", day=NEXT)], day=NEXT)
    ingest(lake, (NEXT, NEXT))
    return lake, version


def ids(settings) -> set[str]:
    return set(arrow.read(settings, EVENTS, ["event_id"])["event_id"].to_pylist())


def test_rows_and_raw_files_past_the_retention_go_and_are_not_pending(two_days, raw):
    settings = two_days[0].settings
    rejected = raw.write("raw/_rejected/old.jsonl.gz", b"a name")
    os.utime(raw.lake / rejected, (0, 0))
    waiting = raw.events([raw_event(event_id="late")], name="late")
    assert maintain(settings, EVENTS, today=LATER, dry_run=True).expired_rows == 1
    assert ids(settings) == {"old", "new"}

    assert maintain(settings, EVENTS, today=LATER).expired_rows == 1
    assert ids(settings) == {"new"}
    expired = retention.expired_raw(settings, LATER)
    assert (len(expired.events), expired.rejected, expired.waiting) == (1, (rejected,), (waiting,))
    assert retention.delete_raw(settings, expired) == 2
    assert not (raw.lake / rejected).exists()
    assert [f.file.path for f in pending(settings)] == [waiting]  # not what was deleted
    assert len(read_ledger(settings)) == 2
    assert retention.expired_raw(settings, LATER).events == ()
    version = delta_log.state(settings, EVENTS).version
    maintain(settings, EVENTS, today=LATER)
    assert delta_log.state(settings, EVENTS).version == version


def test_a_historical_table_is_not_emptied_unasked(two_days):
    settings, today = two_days[0].settings, LATER + timedelta(days=5000)
    (note,) = maintain(settings, EVENTS, today=today).notes
    assert "all 2 rows of bronze.events are older than its 400 days" in note and "--expire-all" in note
    assert ids(settings) == {"old", "new"}
    assert maintain(settings, EVENTS, today=today, expire_all=True).expired_rows == 2
    assert ids(settings) == set()


def test_the_last_day_that_is_kept():
    assert retention.first_kept(replace(EVENTS, retention_days=1), date(2026, 1, 10)) == date(2026, 1, 9)
    assert retention.first_kept(replace(EVENTS, retention_days=None), date(2026, 1, 10)) is None


def test_a_bad_load_is_taken_back_and_read_again(two_days):
    lake, version = two_days
    settings = lake.settings
    done = restore(settings, EVENTS, version=version)
    assert (done.to_version, done.rows_before, done.rows_after) == (version, 2, 1)
    assert ids(settings) == {"old"}
    assert pending(settings) == []  # the ledger has the bad file as done
    new = next(f.file.path for f in list_raw(settings) if f.file.landing_date == NEXT)
    assert new in done.read_since
    assert read_again(settings, done.read_since) == len(done.read_since)
    ingest(lake, (DAY, NEXT))
    assert ids(settings) == {"old", "new"}
    assert arrow.read(settings, EVENTS, ["event_id"]).num_rows == 2
    assert restore(settings, EVENTS, version=done.version).rows_after == 1  # a restore can be undone, and done again


def test_back_to_a_time(two_days):
    settings = two_days[0].settings
    with pytest.raises(RestoreError, match="bronze.events is at version . already"):
        restore(settings, EVENTS, before=datetime.now(UTC))
    assert ids(settings) == {"old", "new"}
    with pytest.raises(
        RestoreError, match="bronze.events has no version before 2020-01-01 00:00:00 UTC; its oldest is 0"
    ):
        restore(settings, EVENTS, before=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(RestoreError, match="no version 99, it has 0 to .*soundlake tables bronze.events"):
        restore(settings, EVENTS, version=99)
    with pytest.raises(RestoreError, match="give one of --version N and --before TIME"):
        restore(settings, EVENTS)


def test_a_version_whose_files_are_gone_can_not_be_restored(two_days, monkeypatch):
    settings = two_days[0].settings
    monkeypatch.setattr(maintenance, "LEAST_KEEP", timedelta(0))
    version = delta_log.state(settings, EVENTS).version
    maintain(settings, EVENTS, keep=timedelta(0), today=LATER)
    with pytest.raises(RestoreError, match=f"files of version {version} of bronze.events are gone"):
        restore(settings, EVENTS, version=version)
    assert ids(settings) == {"new"}
    assert delta_log.state(settings, FILES).rows == 2
