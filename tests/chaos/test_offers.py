"""The same dump offered three times, in two orders, and one day sent again with corrections: the same silver."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import timedelta

import pytest
from raw_zone import DAY, RawZone, raw_event
from whole_lake import content

from lakehouse.ingest import ingest
from lakehouse.lake import Lake
from lakehouse.refine.events import ads, feedback, listens
from lakehouse.settings import Settings
from lakehouse.tables.silver import ADS, FEEDBACK, LISTENS

DAYS = [DAY + timedelta(n) for n in range(3)]
SILVER = ("silver.listens", "silver.feedback", "silver.ads")


def dump(seed: int) -> dict:
    """landing day -> its lines; skips may land a day after their plays."""
    chance, lines = random.Random(seed), {day: [] for day in DAYS}
    choice = {"propensity": 0.5, "policy": "p", "policy_version": "1"}
    for number in range(150):
        place = chance.randrange(len(DAYS))
        day, at = DAYS[place], f"{chance.randrange(24):02}:{chance.randrange(60):02}:00"
        lines[day].append(raw_event(event_id=f"p{number}", at=at, day=day, user_id=f"u{number % 9}"))
        if number % 3 == 0:
            later = DAYS[min(place + chance.randrange(2), len(DAYS) - 1)]
            payload = {"track_id": "t1", "play_event_id": f"p{number}", "position_ms": number}
            lines[later].append(raw_event("skip", event_id=f"s{number}", at="23:59:00", day=later, payload=payload))
        if number % 5 == 0:
            lines[day].append(raw_event("like", event_id=f"l{number}", at=at, day=day))
            shown = {"ad_id": "a", **choice}
            lines[day].append(raw_event("ad_impression", event_id=f"a{number}", at=at, day=day, payload=shown))
    return lines


def corrections(lines: list[dict]) -> list[dict]:
    """The plays of a day once more, received later: heard longer, another track, some at another day's time."""
    corrected = []
    for number, line in enumerate(one for one in lines if one["event_type"] == "play"):
        payload = {**line["payload"], "ms_played": 1000 + number, "track_id": f"t{number % 4}"}
        moved = str(DAYS[0] - timedelta(1)) if number % 7 == 0 else line["occurred_at"][:10]
        again = {"payload": payload, "received_at": f"{DAYS[-1]}T23:59:59Z"}
        corrected.append({**line, **again, "occurred_at": moved + line["occurred_at"][10:]})
    return corrected


def take_in(lake: Lake, days: Iterable) -> None:
    """As the job `ingest` does, a day at a time."""
    for day in days:
        ingest(lake, (day, day))
        for table, fact in ((LISTENS, listens), (FEEDBACK, feedback), (ADS, ads)):
            lake.write(table, fact((day, day)))


@pytest.mark.long
def test_offered_again_in_another_order_with_corrections(spark, tmp_path, seed, report):
    lines = dump(seed)
    lakes = []
    for name in ("forward", "backward"):
        settings = Settings(lake=str(tmp_path / name), state=tmp_path / f"{name}-state", pseudonym_key="test")
        lake, zone = Lake(spark, settings), RawZone(tmp_path / name)
        order = DAYS if name == "forward" else DAYS[::-1]
        for offer in range(3):  # each time under other names, and the days in the order that they come in
            for day in order:
                zone.events(lines[day], name=f"offer{offer}", day=day)
                if offer == (1 if name == "forward" else 0) and day == DAYS[-1]:
                    zone.events(corrections(lines[DAYS[1]]), name="corrected", day=day)
                take_in(lake, [day])
        lakes.append(content(settings, *SILVER))
    forward, backward = lakes
    assert {name: len(rows) for name, rows in forward.items()} == dict(zip(SILVER, (150, 30, 30), strict=True))
    assert forward == backward
    counts = {name: len(rows) for name, rows in forward.items()}
    report(f"3 offers in 2 orders with a corrected day, seed {seed}: the same {counts}")
