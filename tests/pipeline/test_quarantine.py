"""A dump with bad lines: the good ones come through, the bad ones wait with their reason, and a fix brings them in."""

from __future__ import annotations

import gzip
import json

import pytest
from raw_zone import DAY, raw_event
from typer.testing import CliRunner
from whole_lake import content, prepare_lake

from lakehouse import arrow, delta_log
from lakehouse.tables.bronze import EVENTS, FILES, QUARANTINE

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(1800)]

GOOD = 1000
BAD = {
    "broken JSON": b'{"event_id": "x", ',
    "breaks the contract: Expected `int | null`, got `str`": json.dumps(
        raw_event(payload={"track_id": "t", "ms_played": "long"})
    ).encode(),
    "breaks the contract: Object missing required field `user_id`": b'{"event_type": "play", "event_id": "x", '
    b'"schema_version": 1, "occurred_at": "2026-01-05T00:00:00Z", "received_at": "2026-01-05T00:00:00Z", '
    b'"payload": {"track_id": "t"}}',
    "breaks the contract: Invalid value 'dance'": json.dumps(raw_event("dance")).encode(),
    "time out of range": json.dumps(raw_event(occurred_at="1970-01-01T00:00:00Z")).encode(),
    "wrong encoding": b'{"event_id": "\xff"}',
}


@pytest.fixture(scope="module")
def dump() -> list[bytes]:
    """1,000 good lines, one bad line of each kind after every hundred."""
    lines = [json.dumps(raw_event(event_id=f"e{n}", user_id=f"u{n % 7}")).encode() for n in range(GOOD)]
    for number, line in enumerate(BAD.values(), 1):
        lines.insert(number * 100, line)
    return lines


def test_bad_lines_wait_with_their_reason_until_the_file_is_fixed(tmp_path, run_ingest, dump, monkeypatch):
    settings, raw = prepare_lake(tmp_path / "lake")
    path = raw.events(dump)
    whole = gzip.compress(b"\n".join(dump[:50]), mtime=0)
    cut = raw.write(f"raw/events/date={DAY}/hour=13/cut.jsonl.gz", whole[:-20])
    empty = raw.write(f"raw/events/date={DAY}/hour=13/empty.jsonl.gz", b"")
    (report,) = run_ingest(settings)
    assert report.success
    assert set(report.checks_failed) <= {"bronze/quarantine: quarantine_share"}

    events = arrow.read(settings, EVENTS, ["source_file", "event_id"]).to_pylist()
    assert sorted(e["event_id"] for e in events if e["source_file"] == path) == sorted(f"e{n}" for n in range(GOOD))
    rows = arrow.read(settings, QUARANTINE).to_pylist()
    assert {row["status"] for row in rows} == {"open"}
    found = {(row["source_file"], row["line"]): row["reason"] for row in rows}
    assert {key for key in found if key[0] == path} == {(path, dump.index(line) + 1) for line in BAD.values()}
    for reason, line in BAD.items():
        assert reason in found[path, dump.index(line) + 1]
    assert found[empty, 0] == "empty file"
    assert [reason for key, reason in found.items() if key[0] == cut] == [
        "truncated gzip: the file ends in the middle of its data"
    ]
    ledger = {row["source_file"]: (row["good"], row["bad"]) for row in arrow.read(settings, FILES).to_pylist()}
    assert ledger[path] == (GOOD, len(BAD)) and ledger[empty] == (0, 1)

    check = _quarantine_check(settings)
    assert check["lines"].value == len(rows)
    assert sum(check["reasons"].data.values()) == len(rows)

    # nothing is pending now; then the file is fixed, and replayed
    assert run_ingest(settings) == []
    fixed = [
        json.dumps(raw_event(event_id=f"fixed{n}")).encode() if line in BAD.values() else line
        for n, line in enumerate(dump)
    ]
    raw.events(fixed)
    raw.write(cut, whole)
    (raw.lake / empty).unlink()
    answer = CliRunner().invoke(_app(), ["quarantine", "replay", "--lake", settings.lake])
    assert answer.exit_code == 0, answer.output
    assert "2 files read again" in answer.output
    assert f"{empty} is no longer in the raw zone" in answer.output
    events = arrow.read(settings, EVENTS, ["source_file", "line"]).to_pylist()
    assert len(events) == len({(e["source_file"], e["line"]) for e in events}) == GOOD + len(BAD) + 50
    status = {row["source_file"]: row["status"] for row in arrow.read(settings, QUARANTINE).to_pylist()}
    assert status == {path: "resolved", cut: "resolved", empty: "open"}
    listed = CliRunner().invoke(_app(), ["quarantine", "list", "--lake", settings.lake])
    assert f"{empty}:0  empty file" in listed.output and "1 lines" in listed.output


def _app():
    from orchestration.cli import app

    return app


def _quarantine_check(settings) -> dict:
    """Metadata of the last evaluation of the quarantine's check."""
    import dagster as dg

    from orchestration.home import instance

    key = dg.AssetCheckKey(dg.AssetKey(["bronze", "quarantine"]), "quarantine_share")
    with instance(settings) as dagster:
        record = dagster.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    return record.event.dagster_event.event_specific_data.metadata


def test_the_same_dump_again_and_files_in_any_order_give_the_same_tables(tmp_path, lake_ingest):
    lines = [raw_event(event_id=f"e{n}") for n in range(20)] + [b"bad"]
    entity = [{"track_id": "t1"}]

    def fill(raw, parts: str) -> None:
        for part in parts:
            if part == "c":
                raw.entities("tracks", entity)
            else:
                raw.events(lines, name=part, hour=ord(part) % 24)

    names = ("bronze.events", "bronze.catalogue", "bronze.quarantine", "bronze.files")
    together, raw = prepare_lake(tmp_path / "together")
    fill(raw, "abc")
    first = lake_ingest(together)
    assert (first.files, first.good, first.bad) == (3, {"events": 40, "tracks": 1}, 2)
    before = {name: delta_log.state(together, table).version for name, table in _tables(names)}
    again = lake_ingest(together)
    assert (again.files, again.good) == (0, {})
    assert {name: delta_log.state(together, table).version for name, table in _tables(names)} == before

    apart, raw = prepare_lake(tmp_path / "apart")
    for part in "cba":
        fill(raw, part)
        lake_ingest(apart)
    assert content(apart, *names) == content(together, *names)

    # the ledger lost: every file is read again and nothing is added
    delta_log.open_table(apart, FILES).delete()
    assert lake_ingest(apart).files == 3
    assert content(apart, *names) == content(together, *names)


def _tables(names):
    from lakehouse.tables import TABLES

    return [(name, TABLES[name]) for name in names]


def test_a_changed_file_adds_every_line_that_is_new(tmp_path, lake_ingest):
    settings, raw = prepare_lake(tmp_path / "lake")
    lines = [raw_event(event_id=f"e{n}") for n in range(4)]
    raw.events(lines)
    lake_ingest(settings)
    raw.events([lines[0], raw_event(event_id="inserted one"), raw_event(event_id="inserted two"), *lines[1:]])
    result = lake_ingest(settings)
    assert len(result.changed_files) == 1
    rows = arrow.read(settings, EVENTS, ["event_id", "line"]).to_pylist()
    assert {row["event_id"] for row in rows} == {"e0", "e1", "e2", "e3", "inserted one", "inserted two"}
    assert sorted(row["line"] for row in rows) == [1, 2, 3, 4, 5, 6]


@pytest.fixture
def lake_ingest(spark):
    """lake_ingest(settings) -> result of an ingest of all pending days, without Dagster."""
    from lakehouse.ingest import ingest
    from lakehouse.lake import Lake

    return lambda settings: ingest(Lake(spark, settings), (DAY, DAY))
