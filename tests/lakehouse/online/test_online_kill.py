"""A materialisation killed at random moments: readers see the old rows or the new ones, and the next run finishes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from taste import NOON, TASTE, VIEW, replace_table

from lakehouse.online.materialise import materialise
from lakehouse.online.verify import compare_with_delta

ROWS = 10_000
ROUNDS = 4
LONGEST_SECONDS = 0.25
WORKER = Path(__file__).with_name("materialise_worker.py")
ROOT = Path(__file__).parents[3]


def plays(value: int, whole: bool) -> dict[str, int]:
    """All rows have a new value, or every third one (which is written as changes of the served version)."""
    return {f"u{i}": value if whole or i % 3 == 0 else 1 for i in range(ROWS)}


def start(settings, whole: bool) -> subprocess.Popen:
    arguments = [settings.model_dump_json(exclude={"pseudonym_key"}), "whole" if whole else "changes"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    worker = subprocess.Popen(
        [sys.executable, str(WORKER), *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
    )
    assert worker.stdout.readline() == "ready\n"
    return worker


def values(store) -> set[int]:
    """The values of the rows that each round changes; all of them have to be there."""
    rows = store.get_many(TASTE, [f"u{i}" for i in range(0, ROWS, 3)])
    assert not any(row.missing for row in rows)
    return {int(row.vector[0]) for row in rows}


@pytest.mark.chaos
@pytest.mark.slow
def test_a_killed_materialisation_leaves_the_old_rows_whole(store_settings, opened):
    chance, store = random.Random(20260101), opened()
    replace_table(store_settings, plays(1, True), NOON)
    materialise(store_settings, store, VIEW)
    before, landed = 1, 0
    for value in range(2, ROUNDS + 2):
        whole = value % 2 == 0
        replace_table(store_settings, plays(value, whole), NOON)
        worker = start(store_settings, whole)
        until = time.monotonic() + chance.uniform(0, LONGEST_SECONDS)
        while time.monotonic() < until:  # a reader meanwhile
            assert values(store) in ({before}, {value})
        worker.kill()
        worker.wait(30)
        worker.stdout.close()
        seen = values(store)
        assert seen in ({before}, {value})
        assert store.info("taste").rows == sum(1 for _ in store.scan(TASTE)) == ROWS
        landed += seen == {before}
        materialise(store_settings, store, VIEW)
        assert values(store) == {value}
        assert compare_with_delta(store_settings, store, VIEW, 500, value).differences == []
        before = value
    assert landed, "no kill came before the rows were served: the moments are too late to prove anything"
    materialise(store_settings, store, VIEW, whole=True)
    assert nothing_left_behind(store)


def nothing_left_behind(store) -> bool:
    """No row of a version that is not served takes room."""
    if store.kind == "redis":
        return len(store.client.keys("soundlake:online:taste:*")) == 1
    from lakehouse.online.lmdb_state import prefix_of

    served = prefix_of("taste", store.info("taste").version)
    with store._env.reading:
        txn = store._env.begin_read()
        rows = [key for key in txn.cursor().iternext(values=False) if key.startswith(b"rtaste\0")]
        txn.abort()
    return len(rows) == ROWS and all(key.startswith(served) for key in rows)
