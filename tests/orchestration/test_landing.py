"""What has landed is found in bounded steps, however it lands, and offered in bounded runs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from raw_zone import DAY

from lakehouse.ingest import Found
from lakehouse.rows import RawFile
from lakehouse.storage import LocalStorage
from orchestration.landing import batches, new_files, step

HOURS = st.tuples(st.integers(0, 5), st.integers(0, 3), st.sampled_from(["a", "a.b", "b"]))


def path_of(place: tuple[int, int, str]) -> str:
    day, hour, name = place
    return f"raw/events/date={DAY + timedelta(day)}/hour={hour:02}/{name}.jsonl"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), HOURS), max_size=25), st.integers(1, 4))
def test_no_file_is_missed_whenever_and_wherever_it_lands(tmp_path_factory, landings, keys):
    """``landings``: steps to wait, then a file at any place, before or behind the cursor."""
    storage = LocalStorage(tmp_path_factory.mktemp("zone"))
    ledger: dict[str, str] = {}
    cursor = ""

    def one_step() -> None:
        nonlocal cursor
        found = step(storage, cursor, keys)
        cursor = found.cursor
        ledger.update((f.file.path, f.version) for f in new_files(found.entries, ledger, lambda _: None))

    for wait, place in landings:
        storage.write_atomic(path_of(place), b"x")
        for _ in range(wait):
            one_step()
    for _ in range(2 * (len(landings) // keys + 2)):  # once round the zone from wherever it stands
        one_step()
    assert ledger == {entry.path: entry.version for entry in storage.list("raw")}


def test_the_newest_days_are_seen_at_every_step(tmp_path):
    storage = LocalStorage(tmp_path)
    for hour in range(20):
        storage.write_atomic(f"raw/artists/date={DAY}/{hour:02}.jsonl", b"x")
    first = step(storage, "", keys=5)
    today = f"raw/events/date={datetime.now(UTC).date()}/hour=00/a.jsonl"
    storage.write_atomic(today, b"x")
    second = step(storage, first.cursor, keys=5)
    assert [entry.path[-8:-6] for entry in second.entries[:5]] == ["05", "06", "07", "08", "09"]
    assert second.entries[5].path == today
    assert len(second.entries) == 6


def test_a_zone_that_fits_a_step_is_listed_once_and_whole(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.write_atomic(f"raw/events/date={datetime.now(UTC).date()}/hour=00/a.jsonl", b"x")
    assert (len(step(storage, "").entries), step(storage, "").cursor) == (1, "")


def files(*counts: tuple[date, int]) -> list[Found]:
    return [Found(RawFile(f"{day}/{n}", "events", day), 1, "1") for day, count in counts for n in range(count)]


def test_runs_are_bounded_by_files_and_hold_whole_days():
    found = batches(files((DAY, 3), (DAY + timedelta(1), 2), (DAY + timedelta(2), 9), (date(2020, 1, 1), 1)), 5)
    assert [(b.days, b.files) for b in found] == [
        ((date(2020, 1, 1), date(2020, 1, 1)), 1),
        ((DAY, DAY + timedelta(1)), 5),
        ((DAY + timedelta(2), DAY + timedelta(2)), 9),
    ]
    assert len({b.key for b in found}) == 3
