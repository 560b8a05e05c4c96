"""A raw zone that grows: every call lands a few files, good lines and bad ones, late skips and repeats among them."""

from __future__ import annotations

import random
from datetime import date, timedelta

from raw_zone import DAY, RawZone, raw_event

from lakehouse.refine.fact import LOOKBACK_DAYS

DAYS = LOOKBACK_DAYS + 1
"""Further apart, two versions of an event that lie on different days are known to be one only to a run over both."""


class Landing:
    """The same seed lands the same files, in whichever lake."""

    def __init__(self, zone: RawZone, seed: int):
        self._zone, self._random, self._number = zone, random.Random(seed), 0
        self._plays: list[str] = []
        self.good: dict[str, int] = {}

    def more(self) -> None:
        for _ in range(self._random.randint(1, 3)):
            self._number += 1
            day = DAY + timedelta(self._random.randrange(DAYS))
            lines = [self._line(day) for _ in range(self._random.randint(5, 60))]
            path = self._zone.events(lines, name=f"f{self._number}", day=day)
            self.good[path] = sum(isinstance(line, dict) for line in lines)

    def _line(self, day: date) -> dict | bytes:
        chance, at = self._random.random(), f"{self._random.randrange(24):02}:{self._random.randrange(60):02}:00"
        if chance < 0.05:
            return b'{"event_id": "cut'
        id_, user = f"e{self._number}-{self._random.randrange(10**9)}", f"u{self._random.randrange(20)}"
        if self._plays and chance < 0.25:
            payload = {"track_id": "t1", "play_event_id": self._random.choice(self._plays), "position_ms": 1000}
            return raw_event("skip", event_id=id_, at=at, day=day, user_id=user, payload=payload)
        if self._plays and chance < 0.35:
            id_ = self._random.choice(self._plays)  # sent again
        elif chance < 0.45:
            return raw_event("like", event_id=id_, at=at, day=day, user_id=user)
        self._plays.append(id_)
        return raw_event(event_id=id_, at=at, day=day, user_id=user, payload={"track_id": f"t{chance:.2f}"})
