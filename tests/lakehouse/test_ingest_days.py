"""Which days a run takes, and how files are shared among its tasks. No Spark here."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st
from raw_zone import DAY, raw_event

from lakehouse.bronze_load import Found, pack
from lakehouse.ingest import list_raw, pending
from lakehouse.ingest_days import spans
from lakehouse.rows import RawFile

DAYS = st.dates(date(2005, 1, 1), date(2026, 12, 31))


def test_days_within_a_month_share_a_span():
    first = date(2026, 1, 1)
    assert spans([]) == []
    assert spans([first, first]) == [(first, first)]
    assert spans([first + timedelta(31), first]) == [(first, first + timedelta(31))]
    assert spans([first, first + timedelta(32)]) == [(first, first), (first + timedelta(32), first + timedelta(32))]


@given(st.lists(DAYS, max_size=30))
def test_spans_cover_every_day_once_and_lie_apart(days):
    found = spans(days)
    assert all(sum(first <= day <= last for first, last in found) == 1 for day in days)
    assert all(later[0] - earlier[1] > timedelta(31) for earlier, later in zip(found, found[1:], strict=False))
    assert all(first in days and last in days for first, last in found)


@given(st.lists(st.integers(0, 40 << 20), min_size=1, max_size=40))
def test_every_file_goes_to_one_bin_and_bins_are_few(sizes):
    files = [Found(RawFile(f"raw/events/{n}", "events", DAY), size, "1") for n, size in enumerate(sizes)]
    bins = pack(files, cores=2)
    assert sorted(f.file.path for part in bins for f in part) == sorted(f.file.path for f in files)
    assert all(bins)
    assert len(bins) < sum(sizes) / (16 << 20) + 3


def test_only_dumps_are_listed_oldest_first(raw, settings):
    late = raw.events([raw_event()], day=DAY + timedelta(1))
    plain = raw.entities("tracks", [{"track_id": "t"}], compress=False)
    early = raw.events([raw_event()], day=DAY)
    raw.write(f"raw/events/date={DAY}/hour=12/_SUCCESS", b"")
    raw.write(f"raw/events/date={DAY}/hour=12/x.csv", b"a,b")
    raw.write("raw/events/loose.jsonl", b"{}")
    raw.write("raw/_rejected/x.jsonl.gz", b"")
    assert [f.file.path for f in list_raw(settings.lake)] == [early, plain, late]
    assert [f.file.path for f in list_raw(settings.lake, ["tracks"])] == [plain]
    assert [f.file.path for f in list_raw(settings.lake, days=(DAY, DAY))] == [early, plain]
    assert len(pending(settings)) == 3


def test_a_folder_of_a_day_that_does_not_exist_is_named(raw, settings):
    path = raw.write("raw/events/date=2026-02-30/hour=00/a.jsonl", b"{}")
    good = raw.events([raw_event()])
    skipped: list[str] = []
    assert [f.file.path for f in list_raw(settings.lake, skipped=skipped.append)] == [good]
    (reason,) = skipped
    assert reason.startswith(f"{path}: 2026-02-30 is not a day. Move the file")
