"""Same seed, same bytes; a longer run and several short ones are the same."""

from __future__ import annotations

from datetime import date

import pytest

from lakehouse.sources import RawWriter
from simulation import World, simulate

SMALL = {"users": 60, "tracks": 200}


def written(lake):
    return {path.relative_to(lake).as_posix(): path.read_bytes() for path in lake.rglob("*.gz")}


def run(lake, **options):
    with RawWriter(lake, "simulation") as writer:
        summary = simulate(writer, **{**SMALL, "days": 3, **options})
    return summary, writer.summary


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    summary, counted = run(tmp_path / "a")
    run(tmp_path / "b")
    files = written(tmp_path / "a")
    assert files == written(tmp_path / "b")
    assert (summary.events, summary.entities) == (counted.events, sum(counted.entities.values()))
    assert (summary.first_date, summary.last_date) == (date(2026, 1, 1), date(2026, 1, 3))
    assert {path.split("/")[2] for path in files} == {"date=2026-01-01", "date=2026-01-02", "date=2026-01-03"}
    _, again = run(tmp_path / "a")
    assert (again.files_written, again.files_skipped) == (0, len(files))
    run(tmp_path / "c", seed=8)
    assert not written(tmp_path / "c").keys() & {path for path in files if "/events/" in path}


def test_a_world_goes_on_day_by_day(tmp_path):
    run(tmp_path / "once", days=6)
    run(tmp_path / "daily", days=3)
    for day in (3, 4, 5):
        summary, _ = run(tmp_path / "daily", start_day=day, days=1)
        assert summary.first_date == summary.last_date == date(2026, 1, 1 + day)
    assert written(tmp_path / "daily") == written(tmp_path / "once")


def test_days_are_independent_of_the_order_they_are_asked_in():
    world = World.create(users=60, tracks=200, days=3, start=date(2026, 1, 1), seed=3)
    forward = [batch.rows.tobytes() for batch in world.events()]
    assert next(world.events(start_day=2, days=1)).rows.tobytes() == forward[2]
    assert [batch.rows.tobytes() for batch in world.events()] == forward


def test_progress_tells_each_day(tmp_path):
    said = []
    run(tmp_path, progress=said.append)
    assert [line.split(":")[0] for line in said] == [f"simulated 2026-01-0{day}" for day in (1, 2, 3)]


def test_a_world_of_one_listener(tmp_path):
    summary, _ = run(tmp_path, users=1, tracks=50, days=2, seed=1)
    assert summary.events >= 0
    assert len(summary.world.users) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("users", 0), ("tracks", 10), ("days", 0), ("seed", -1), ("start_day", -1)]
)
def test_impossible_worlds_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=name):
        run(tmp_path, **{name: value})
