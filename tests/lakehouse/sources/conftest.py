"""Reading back what was written to a lake, through the contract."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date
from pathlib import Path

import pytest

from lakehouse.catalogue import decode_entity
from lakehouse.events import Envelope, decode_event

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def lines_of(file: Path) -> list[bytes]:
    return gzip.decompress(file.read_bytes()).splitlines()


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """Path of a real data set; skips when it is not there."""

    def find(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"real data set {name} is not on this machine")
        return SHARED / name

    return find


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def read_events(lake: Path) -> Callable[[], list[Envelope]]:
    """Every event of the lake, each decoded against the contract and the landing date of its file."""

    def read() -> list[Envelope]:
        events = []
        for file in sorted(lake.glob("raw/events/date=*/hour=*/*.jsonl.gz")):
            landed = date.fromisoformat(file.parent.parent.name.removeprefix("date="))
            hour = int(file.parent.name.removeprefix("hour="))
            for line in lines_of(file):
                event = decode_event(line, landed)
                received = event.received_at.astimezone(UTC)
                assert (received.date(), received.hour) == (landed, hour)
                events.append(event)
        return events

    return read


@pytest.fixture
def read_entities(lake: Path) -> Callable[[str], list]:
    def read(entity: str) -> list:
        files = sorted(lake.glob(f"raw/{entity}/date=*/*.jsonl.gz"))
        return [decode_entity(entity, line) for file in files for line in lines_of(file)]

    return read
