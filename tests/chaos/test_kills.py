"""Batch, stream and maintenance on one lake, killed again and again: nothing lost, nothing doubled, nothing half."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chaos.landing import Landing
from whole_lake import content, prepare_lake

from lakehouse import arrow
from lakehouse.settings import Settings, get_settings
from lakehouse.tables.bronze import EVENTS
from lakehouse.tables.silver import LISTENS

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

ACTORS = ("ingest", "stream", "maintain")
COMPARED = (
    "bronze.events",
    "bronze.quarantine",
    "bronze.files",
    "silver.listens",
    "silver.feedback",
    "silver.ads",
)
LONGEST = 14.0
"""A process is killed within so many seconds of its work, or within what it took when it last came to its end; the next
takes up what it left."""


def start(actor: str, lake: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name("worker.py"), actor, lake],
        start_new_session=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "SOUNDLAKE_SPARK_MASTER": "local[2]",
            "SOUNDLAKE_SPARK_MEMORY": "1g",
            "SOUNDLAKE_SPARK_SHUFFLE_PARTITIONS": "2",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_ready(process: subprocess.Popen) -> None:
    for line in process.stdout:
        if line.strip() == "ready":
            threading.Thread(target=process.stdout.read, daemon=True).start()  # or it would block on a full pipe
            return
    pytest.fail(f"ended with {process.wait()} before its work began")


def undisturbed(actor: str, lake: str) -> None:
    output, _ = (process := start(actor, lake)).communicate(timeout=900)
    assert process.returncode == 0, output[-3000:]


class Reader:
    """Looks at the tables all the time, as a reader would."""

    def __init__(self, settings: Settings, landing: Landing):
        self._settings, self._landing = settings, landing
        self.looks, self.faults = 0, []
        self._stop = threading.Event()

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            try:
                self._look()
            except arrow.TableMissing:
                continue

    def _look(self) -> None:
        rows = arrow.read(self._settings, EVENTS, ["source_file", "line"]).to_pydict()
        counts = Counter(rows["source_file"])
        for path, count in counts.items():
            if count != self._landing.good[path]:
                self.faults.append(f"{path}: {count} of {self._landing.good[path]} lines seen")
        ids = arrow.read(self._settings, LISTENS, ["event_id"])["event_id"].to_pylist()
        if len(ids) != len(set(ids)):
            self.faults.append(f"{len(ids) - len(set(ids))} listens seen twice")
        self.looks += 1


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("SOUNDLAKE_PSEUDONYM_KEY", "test")
    monkeypatch.setenv("SOUNDLAKE_LAKE", "")  # put back at the end, whatever the runs set
    get_settings.cache_clear()


def test_killed_at_random_moments(environment, tmp_path, kills, seed, report):
    settings, zone = prepare_lake(tmp_path / "killed")
    landing, chance = Landing(zone, seed), random.Random(seed)
    landing.more()
    killed, ended, longest = Counter(), Counter(), dict.fromkeys(ACTORS, LONGEST)
    with Reader(settings, landing).reading() as reader:
        turn = 0
        while sum(killed.values()) < kills:
            landing.more()
            actors = [ACTORS[turn % 3], *([ACTORS[(turn + 1) % 3]] if chance.random() < 0.4 else [])]
            turn += 1
            processes = {actor: start(actor, settings.lake) for actor in actors}
            for process in processes.values():
                until_ready(process)
            ready = time.monotonic()
            for actor, process in processes.items():
                try:
                    process.wait(chance.uniform(0, longest[actor]))
                    assert process.returncode == 0, (
                        f"{actor} ended with {process.returncode}; see its runs in {settings.state_dir}"
                    )
                    ended[actor] += 1
                    longest[actor] = time.monotonic() - ready
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    killed[actor] += 1
                    longest[actor] *= 1.2  # there is more to do each time
        for actor in (*ACTORS, "ingest"):
            undisturbed(actor, settings.lake)
    report(f"killed {dict(killed)}, came to an end {dict(ended)}, {reader.looks} looks at the tables, seed {seed}")
    assert not reader.faults
    assert reader.looks

    whole, zone = prepare_lake(tmp_path / "whole")
    again = Landing(zone, seed)
    while again.good.keys() != landing.good.keys():
        again.more()
    undisturbed("ingest", whole.lake)
    expected = content(whole, *COMPARED)
    found = content(settings, *COMPARED)
    assert {name: len(rows) for name, rows in found.items()} == {name: len(rows) for name, rows in expected.items()}
    assert found == expected
    report(f"tables equal those of a lake that was left alone: { ({n: len(rows) for n, rows in expected.items()}) }")
