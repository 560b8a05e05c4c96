"""What has landed in the raw zone and waits for a run: found in bounded steps, offered in bounded runs.

The ledger decides what is new, never the order of arrival. Each step lists the folders of the newest days and one
stretch of the whole zone, going on where the last step stopped and round again: a file that lands late, anywhere, is
seen when the round comes by it, and a zone of any size costs the same at each step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from lakehouse.ingest import PAYLOAD_TABLE, Found, as_dump
from lakehouse.ingest_days import spans
from lakehouse.storage import Entry, Storage

KEYS_A_STEP = 10_000
FILES_A_RUN = 2_000
NEWEST_DAYS = 2


@dataclass(frozen=True)
class Step:
    """Entries found, and the path behind which the next step goes on ("": from the start)."""

    entries: list[Entry]
    cursor: str


@dataclass(frozen=True)
class Batch:
    """Days for one run, and how many new files were seen there; ``key`` changes with what lies there."""

    days: tuple[date, date]
    files: int
    key: str


def step(storage: Storage, cursor: str, keys: int = KEYS_A_STEP) -> Step:
    """At most ``keys`` files behind ``cursor``; if that is not the whole zone, those of the newest days as well."""
    entries = list(islice(storage.list("raw", after=cursor), keys))
    at_end = len(entries) < keys
    following = "" if at_end else entries[-1].path
    if cursor or not at_end:
        known = {entry.path for entry in entries}
        entries += [entry for entry in _newest(storage) if entry.path not in known]
    return Step(entries, following)


def _newest(storage: Storage) -> Iterable[Entry]:
    today = datetime.now(UTC).date()
    for entity in PAYLOAD_TABLE:
        for back in range(NEWEST_DAYS):
            yield from storage.list(f"raw/{entity}/date={today - timedelta(back)}")


def new_files(entries: Iterable[Entry], ledger: dict[str, str], skipped: Callable[[str], None]) -> list[Found]:
    """Dumps that the ledger does not have, or has in another version."""
    dumps = (as_dump(entry, skipped) for entry in entries if ledger.get(entry.path) != entry.version)
    return [dump for dump in dumps if dump is not None]


def batches(files: Iterable[Found], files_a_run: int = FILES_A_RUN) -> list[Batch]:
    """Runs for ``files``: days that lie near one another together, oldest first, up to ``files_a_run`` (or one day)."""
    by_day: dict[date, list[Found]] = {}
    for f in files:
        by_day.setdefault(f.file.landing_date, []).append(f)
    result = []
    for first, last in spans(by_day):
        part: list[date] = []
        for day in sorted(day for day in by_day if first <= day <= last):
            if part and sum(len(by_day[one]) for one in (*part, day)) > files_a_run:
                result.append(_batch([f for one in part for f in by_day[one]]))
                part = []
            part.append(day)
        result.append(_batch([f for one in part for f in by_day[one]]))
    return result


def _batch(files: list[Found]) -> Batch:
    days = [f.file.landing_date for f in files]
    return Batch((min(days), max(days)), len(files), key_of(sorted(f"{f.file.path}@{f.version}" for f in files)))


def key_of(parts: Iterable[str]) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]
