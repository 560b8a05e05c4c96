from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from lakehouse.catalogue import Track, User
from lakehouse.events import Play, Search, make_event
from lakehouse.sources import RawWriter, Rejected
from lakehouse.sources.spill import SpillBuffer

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def play(number: int, received: datetime = NOON):
    return make_event(
        "play",
        event_id=f"e{number}",
        user_id="u",
        occurred_at=received,
        received_at=received,
        payload=Play(track_id=f"t{number}"),
    )


def files(lake):
    return {path.relative_to(lake).as_posix(): path.read_bytes() for path in sorted(lake.rglob("*")) if path.is_file()}


def write(lake, records, **options):
    with RawWriter(lake, "test", **options) as writer:
        writer.write_all(records)
    return writer.summary


def test_buckets_by_received_at_in_utc(lake, read_events):
    paris = timezone(timedelta(hours=2))
    write(lake, [play(1), play(2, datetime(2026, 1, 1, 1, 30, tzinfo=paris)), play(3, NOON + timedelta(hours=1))])
    folders = sorted(path.rsplit("/", 1)[0] for path in files(lake))
    assert folders == [
        "raw/events/date=2025-12-31/hour=23",
        "raw/events/date=2026-01-01/hour=12",
        "raw/events/date=2026-01-01/hour=13",
    ]
    assert [event.event_id for event in read_events()] == ["e2", "e1", "e3"]


def test_the_same_records_again_write_nothing(lake):
    records = [play(number, NOON + timedelta(minutes=number)) for number in range(200)] + [Track(track_id="t1")]
    first = write(lake, records)
    before = files(lake)
    again = write(lake, records)
    assert first.files_written == 5
    assert (again.files_written, again.files_skipped) == (0, 5)
    assert files(lake) == before
    assert (again.events, again.entities) == (200, {"tracks": 1})
    assert (again.first_date, again.last_date) == (date(2026, 1, 1), date(2026, 1, 1))


def test_spilling_does_not_change_the_files(lake, tmp_path):
    records = [play(number, NOON + timedelta(minutes=number % 300)) for number in range(3000)]
    write(lake, records, part_bytes=4000)
    write(tmp_path / "spilled", records, part_bytes=4000, memory_bytes=2000)
    assert files(lake) == files(tmp_path / "spilled")


def test_parts_hold_whole_lines_and_stay_below_the_limit(lake, read_events):
    write(lake, [play(number) for number in range(100)], part_bytes=1000)
    sizes = [len(gzip.decompress(data)) for data in files(lake).values()]
    assert len(sizes) > 10
    assert max(sizes) <= 1000
    assert sorted(event.event_id for event in read_events()) == sorted(f"e{number}" for number in range(100))


def test_a_line_longer_than_a_part_stays_whole(lake, read_events):
    long = make_event(
        "search",
        event_id="e",
        user_id="u",
        occurred_at=NOON,
        received_at=NOON,
        payload=Search(query="q" * 900),
    )
    write(lake, [play(1), long, play(2)], part_bytes=100)
    assert sorted(event.event_id for event in read_events()) == ["e", "e1", "e2"]


def test_gzip_carries_no_time(lake):
    write(lake, [play(1)])
    (data,) = files(lake).values()
    assert data[4:8] == b"\0\0\0\0"


def test_an_error_drops_what_was_not_flushed(lake):
    with pytest.raises(RuntimeError), RawWriter(lake, "test") as writer:
        writer.write(play(1))
        writer.flush()
        writer.write(play(2, NOON + timedelta(hours=5)))
        raise RuntimeError
    assert [path.split("/")[3] for path in files(lake)] == ["hour=12"]


def test_entities_are_dated(lake, read_entities):
    with RawWriter(lake, "test") as writer:
        writer.write(Track(track_id="a"), date(2026, 1, 5))
        writer.write(User(user_id="u"))
        writer.write(play(1, NOON + timedelta(days=2)))
    names = sorted(path.rsplit("/", 1)[0] for path in files(lake))
    assert names[1:] == ["raw/tracks/date=2026-01-05", "raw/users/date=2026-01-03"]
    assert read_entities("users") == [User(user_id="u")]


def test_rejected_rows_are_kept_and_counted(lake):
    rows = [Rejected("bad row", "a.csv", 3, "x,y"), Rejected("bad row", "a.csv", 9, "z"), Rejected("other", "b", 1, "")]
    summary = write(lake, rows)
    assert summary.unusable == {"bad row": 2, "other": 1}
    assert summary.examples == {"bad row": "a.csv:3", "other": "b:1"}
    (path,) = summary.rejected_files
    assert path.startswith("raw/_rejected/test-")
    kept = [json.loads(line) for line in gzip.decompress((lake / path).read_bytes()).splitlines()]
    assert kept[0] == {"reason": "bad row", "file": "a.csv", "line": 3, "text": "x,y"}
    assert len(kept) == 3
    assert any("2 rows unusable: bad row (first: a.csv:3)" in line for line in summary.lines())


def test_source_names_that_make_no_file_names(lake):
    with pytest.raises(ValueError, match="source name '../x'"):
        RawWriter(lake, "../x")


def test_the_spill_folder_goes_away():
    buffer = SpillBuffer(memory_bytes=10)
    buffer.append("a", b"0123456789")
    buffer.append("a", b"more")
    folder = buffer._folder
    with buffer.take("a") as stream:
        assert stream.read() == b"0123456789\nmore\n"
    buffer.close()
    assert folder is not None
    assert not Path(folder).exists()
