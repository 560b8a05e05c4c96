"""A lost race is run again, anything else is not; both engines' conflicts are known by what they raise."""

from __future__ import annotations

import deltalake
import pyarrow as pa
import pytest

from lakehouse.commits import is_conflict, retry_conflicts


class ConcurrentAppendException(Exception):
    """Named as Delta on Spark names it."""


def failing(times: int, error: Exception):
    calls = []

    def action() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return action, calls


def test_a_lost_race_is_run_again_with_growing_waits():
    action, _ = failing(3, ConcurrentAppendException("files were added"))
    waits: list[float] = []
    assert retry_conflicts(action, sleep=waits.append) == 4
    assert len(waits) == 3
    assert 0.05 <= waits[0] <= 0.15 and 0.2 <= waits[2] <= 0.6


def test_the_last_conflict_is_raised_and_other_errors_at_once():
    action, calls = failing(9, ConcurrentAppendException("again"))
    with pytest.raises(ConcurrentAppendException):
        retry_conflicts(action, attempts=3, sleep=lambda _: None)
    assert len(calls) == 3
    action, calls = failing(9, ValueError("a bad value"))
    with pytest.raises(ValueError):
        retry_conflicts(action, sleep=lambda _: None)
    assert len(calls) == 1


def test_a_conflict_inside_another_error_and_by_its_text():
    wrapped = RuntimeError("step failed")
    wrapped.__cause__ = ConcurrentAppendException()
    assert is_conflict(wrapped)
    assert is_conflict(
        RuntimeError("io.delta.exceptions.ConcurrentDeleteReadException: [DELTA_CONCURRENT_DELETE_READ]")
    )
    assert not is_conflict(RuntimeError("disk full"))


def test_two_writers_of_delta_rs_meet(tmp_path):
    """Both delete the same row from the version they opened: the second finds that it lost, and then nothing to do."""
    where = str(tmp_path / "t")
    deltalake.write_deltalake(where, pa.table({"id": [1, 2, 3]}))
    stale = deltalake.DeltaTable(where)
    deltalake.DeltaTable(where).delete("id = 1")
    with pytest.raises(Exception) as lost:
        stale.delete("id = 2")
    assert is_conflict(lost.value)
    retry_conflicts(lambda: deltalake.DeltaTable(where).delete("id = 2"))
    assert deltalake.DeltaTable(where).to_pyarrow_table()["id"].to_pylist() == [3]
