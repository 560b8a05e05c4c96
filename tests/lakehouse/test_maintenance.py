"""Upkeep keeps every row, makes files few and prunable, removes only what nobody can need, and does nothing twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from raw_zone import DAY

from lakehouse import arrow, delta_log, maintenance
from lakehouse.contract import Column, Table, Write
from lakehouse.maintenance import KeepTooShort, horizon, layout, maintain

COLUMNS = (
    Column("id", "string", "an id", nullable=False),
    Column("user_key", "string", "a listener", nullable=False),
    Column("day", "date", "a day", nullable=False),
)
PLAYS = Table("silver.plays", "Plays.", COLUMNS, ("id",), Write.MERGE, ("day",), zorder_by=("user_key",))
LEDGER = Table("bronze.ledger", "A ledger.", COLUMNS, ("id",), Write.MERGE)


def add(settings, table: Table, rows: list[tuple]) -> None:
    """One small commit, without Spark."""
    import deltalake

    delta_log.create(settings, table)
    data = pa.Table.from_pylist([dict(zip(("id", "user_key", "day"), row, strict=True)) for row in rows])
    deltalake.write_deltalake(delta_log.uri(settings, table), data, mode="append")


def fill(settings, table: Table, files: int = 6, users: int = 40) -> None:
    """Every user in every file, on two days."""
    for number in range(files):
        rows = [(f"{number}-{user}", f"{user:04}", DAY + timedelta(number % 2)) for user in range(users)]
        add(settings, table, rows)


def rows_of(settings, table: Table) -> list[tuple]:
    return sorted((r["id"], r["user_key"], r["day"]) for r in arrow.read(settings, table).to_pylist())


def age(folder: str, by: timedelta) -> None:
    """Everything that lies there now was written ``by`` earlier."""
    moment = time.time() - by.total_seconds()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            os.utime(path, (moment, moment))


@pytest.mark.parametrize("table", [PLAYS, LEDGER], ids=lambda table: table.name)
def test_small_files_become_few_and_every_row_stays(settings, table):
    fill(settings, table)
    before = rows_of(settings, table)
    done = maintain(settings, table)
    assert (done.before.files, done.before.small_files) == (6, 6)
    assert done.after.files == done.partitions == (2 if table is PLAYS else 1)
    assert rows_of(settings, table) == before
    version = delta_log.state(settings, table).version
    again = maintain(settings, table)
    assert (again.partitions, delta_log.state(settings, table).version) == (0, version)
    add(settings, table, [("new", "0000", DAY)])
    assert maintain(settings, table).partitions == 1
    assert delta_log.open_table(settings, table).protocol().min_reader_version == 1


def test_a_dry_run_counts_and_does_not_touch(settings):
    fill(settings, PLAYS)
    version = delta_log.state(settings, PLAYS).version
    would = maintain(settings, PLAYS, dry_run=True)
    assert (would.partitions, would.before, delta_log.state(settings, PLAYS).version) == (2, would.after, version)
    assert maintain(settings, replace(PLAYS, name="silver.absent")) is None


def test_a_look_up_by_user_opens_fewer_files_after_z_ordering(settings, monkeypatch):
    monkeypatch.setattr(maintenance, "TARGET_BYTES", 100_000)  # so that a small day still has several files
    for number in range(4):
        add(settings, PLAYS, [(f"{number}-{n}-{os.urandom(8).hex()}", f"{n % 5000:04}", DAY) for n in range(20_000)])
    wanted = ("user_key", "=", "0123")

    def files_read() -> int:
        delta = delta_log.open_table(settings, PLAYS)
        actions = delta.get_add_actions(flatten=True)
        low, high = (
            actions.column(actions.schema.names.index(f"{side}.user_key")).to_pylist() for side in ("min", "max")
        )
        return sum(a <= wanted[2] <= b for a, b in zip(low, high, strict=True))

    assert files_read() == 4
    maintain(settings, PLAYS)
    assert layout(settings, PLAYS).files >= 4
    assert files_read() <= 2


def test_vacuum_keeps_what_a_version_within_the_horizon_needs(settings):
    fill(settings, LEDGER)
    folder = settings.table_uri(LEDGER.name)
    maintain(settings, LEDGER)
    data = set(Path(folder).glob("*.parquet"))
    assert len(data) == 7
    assert maintain(settings, LEDGER).removed_files == 0  # replaced a moment ago
    assert len(arrow.dataset(settings, LEDGER, 3).to_table()) > 0
    orphan = Path(folder) / "part-of-a-killed-writer.parquet"
    orphan.write_bytes(b"half")
    young = Path(folder) / "part-of-a-writer-that-runs.parquet"
    young.write_bytes(b"half")
    os.utime(orphan, (0, 0))
    assert maintain(settings, LEDGER, dry_run=True).removed_files == 1
    assert maintain(settings, LEDGER).removed_files == 1
    assert not orphan.exists() and young.exists()
    assert data <= set(Path(folder).glob("*.parquet"))


def test_files_past_the_horizon_go_and_the_table_stays(settings, monkeypatch):
    fill(settings, LEDGER)
    before = rows_of(settings, LEDGER)
    maintain(settings, LEDGER)
    monkeypatch.setattr(maintenance, "LEAST_KEEP", timedelta(0))
    done = maintain(settings, LEDGER, keep=timedelta(0))
    assert done.removed_files == 6
    assert len(list(Path(settings.table_uri(LEDGER.name)).glob("*.parquet"))) == 1
    assert rows_of(settings, LEDGER) == before


def test_how_long_files_are_kept():
    now = datetime(2026, 1, 10, tzinfo=UTC)
    assert horizon(timedelta(days=7)) == timedelta(days=7)
    assert horizon(timedelta(days=1), now - timedelta(days=3), now) == timedelta(days=3, hours=1)
    assert horizon(timedelta(days=7), now - timedelta(days=3), now) == timedelta(days=7)
    with pytest.raises(KeepTooShort, match="keep 23 h is below 24 h.*--keep-hours 24"):
        horizon(timedelta(hours=23))


def test_the_log_is_shortened_behind_a_checkpoint(settings):
    fill(settings, LEDGER, files=14)
    before = rows_of(settings, LEDGER)
    log = Path(settings.table_uri(LEDGER.name)) / "_delta_log"
    age(str(log), timedelta(days=60))
    done = maintain(settings, LEDGER)
    assert done.checkpoint
    assert (log / "_last_checkpoint").exists()
    assert not (log / f"{0:020}.json").exists()  # 60 days old, Delta keeps 30
    assert rows_of(settings, LEDGER) == before
    assert not maintain(settings, LEDGER).checkpoint


def test_a_merge_beside_the_maintenance_loses_nothing(lake):
    """Both want the same files: whoever comes second does it again."""
    import threading

    fill(lake.settings, PLAYS)
    schema = "id string, user_key string, day date"
    errors: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(4):
                day = DAY + timedelta(number % 2)
                rows = [(f"{number}-{user}", f"new{user:04}", day) for user in range(40)]
                merge = lake.spark.createDataFrame([*rows, (f"extra{number}", "x", DAY)], schema)
                lake.write(PLAYS, merge)
        except BaseException as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    rounds = 0
    while writer.is_alive():
        maintain(lake.settings, PLAYS)
        rounds += 1
    writer.join()
    assert errors == []
    assert rounds > 0
    found = [id_ for id_, _, _ in rows_of(lake.settings, PLAYS)]
    assert len(found) == len(set(found)) == 6 * 40 + 4


@pytest.mark.chaos
def test_killed_at_any_moment_the_table_is_whole(settings):
    """kill -9 at six seeded moments; every file is made of whole appends of 40 listeners, each once."""
    delays = random.Random(20260105)
    for _ in range(6):
        worker = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("maintenance_worker.py")), settings.lake],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout.readline() == "ready\n"
        time.sleep(delays.uniform(0.02, 0.4))
        worker.kill()
        worker.wait()
        found = [user for _, user, _ in rows_of(settings, PLAYS)]
        assert {found.count(f"{user:04}") for user in range(40)} == {len(found) / 40}
        maintain(settings, PLAYS)
        assert len(rows_of(settings, PLAYS)) == len(found) > 0
