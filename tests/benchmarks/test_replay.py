"""The comparison of batch and stream sees every difference; the two agree on a simulated world and on real plays."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from raw_zone import RawZone, raw_event

from benchmarks.replay import compare, cut
from lakehouse import delta_log
from lakehouse.settings import Settings
from lakehouse.tables.silver import FEEDBACK

ROOT = Path(__file__).parents[2]
PLAYS = ROOT.parent / "shared" / "data" / "30music"
AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
ROW = {
    "event_id": "a",
    "user_key": "u",
    "track_id": "t",
    "action": "like",
    "playlist_id": None,
    "occurred_at": AT,
    "event_date": AT.date(),
    "received_at": AT,
}
OTHER = {**ROW, "event_id": "b"}


def lake_of(path: Path, rows: list[dict] | None) -> Settings:
    """A lake whose feedback has these rows; None: no such table."""
    from deltalake import write_deltalake

    settings = Settings(lake=str(path), pseudonym_key="test")
    if rows is not None:
        delta_log.create(settings, FEEDBACK)
        table = delta_log.open_table(settings, FEEDBACK)
        for row in rows:  # a file each, so that their order is that of the list
            write_deltalake(
                table, pa.Table.from_pylist([row], pa.schema(table.to_pyarrow_dataset().schema)), mode="append"
            )
    return settings


@pytest.mark.parametrize(
    ("stream", "only"),
    [
        ([OTHER, ROW], (0, 0)),
        ([ROW, OTHER, OTHER], (0, 1)),
        ([ROW], (1, 0)),
        ([ROW, {**OTHER, "playlist_id": "p"}], (1, 1)),
        (None, (2, 0)),
    ],
    ids=["order", "doubled", "lost", "changed", "no table"],
)
def test_every_difference_is_counted(tmp_path, stream, only):
    found = compare(lake_of(tmp_path / "batch", [ROW, OTHER]), lake_of(tmp_path / "stream", stream), FEEDBACK.name)
    assert (found.batch_only, found.stream_only) == only
    assert (found.batch, found.stream) == (2, len(stream or []))
    assert found.differ == any(only) and len(found.examples) == sum(only)


def test_the_first_lines_are_left(tmp_path):
    raw = RawZone(tmp_path)
    for part in "abc":
        raw.events([raw_event(event_id=f"{part}{n}") for n in range(4)], part)
    assert cut(tmp_path, 6) == 6
    from lakehouse.stream.produce import Produced, event_files, lines_of

    ids = [line.split(b'"event_id"')[1].split(b'"')[1] for line in lines_of(event_files(tmp_path), Produced())]
    assert ids == [b"a0", b"a1", b"a2", b"a3", b"b0", b"b1"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("source", ["simulation", "sequences"])
def test_stream_and_batch_agree(source):
    """The whole command, with a broker of its own, so that its exit status is tried too."""
    from servers.kafka import ensure_broker_jars

    ensure_broker_jars()  # skips where there are none
    command = [
        sys.executable,
        "-m",
        "benchmarks.replay",
        "--source",
        source,
        "--events",
        "20000",
        "--per-batch",
        "6000",
    ]
    if source == "sequences":
        if not PLAYS.is_dir():
            pytest.skip(f"{PLAYS} is not there")
        command += ["--path", str(PLAYS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "| silver.listens |" in done.stdout
