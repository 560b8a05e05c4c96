"""Is a day like the 28 before it? Robust z-scores on counts, with the habit of the weekday taken out.

A day's count is compared on the log scale: log1p(count) less the median of its weekday's deviations. Spread is the
median absolute deviation (times 1.4826 it estimates a standard deviation; Leys et al., 2013), never below a floor, so
that a very steady history does not make a small change an alarm, and never below the chance in a small count (Poisson:
the logarithm of a count of n varies by about 1 / sqrt(n)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

WINDOW_DAYS = 28
FEWEST_DAYS = 7
ALARM = 4.0
_MAD_TO_SIGMA = 1.4826
_FLOOR = math.log(1.15)  # counts vary by about 15 % without a cause
_WEEKDAY_FROM = 3  # days of one weekday that tell its habit


@dataclass(frozen=True)
class Verdict:
    """One series on one day. ``z`` is None where there is too little history to judge."""

    name: str
    day: date
    value: float
    expected: float | None
    z: float | None
    days: int

    @property
    def unusual(self) -> bool:
        return self.z is not None and abs(self.z) > ALARM

    @property
    def text(self) -> str:
        if self.z is None:
            return f"{self.name} {self.day}: {self.value:,.0f}, not judged ({self.days} earlier days)"
        return (
            f"{self.name} {self.day} ({self.day:%a}): {self.value:,.0f}, expected about {self.expected:,.0f} from the "
            f"{self.days} days before (z {self.z:+.1f})"
        )


def judge(name: str, series: Mapping[date, float], day: date) -> Verdict:
    """Compare ``day`` with the days of ``series`` in the WINDOW_DAYS before it.

    Days that are not in ``series`` did not happen (no dump landed at all); a day with nothing of this kind has 0.
    """
    history = {d: v for d, v in series.items() if timedelta(0) < day - d <= timedelta(WINDOW_DAYS)}
    value = float(series.get(day, 0))
    if len(history) < FEWEST_DAYS:
        return Verdict(name, day, value, None, None, len(history))
    logs = {d: math.log1p(v) for d, v in history.items()}
    middle = median(logs.values())
    habit = {w: _habit(logs, w, middle) for w in range(7)}
    rest = [v - middle - habit[d.weekday()] for d, v in logs.items()]
    expected = middle + habit[day.weekday()]
    chance = math.exp(-expected / 2)  # 1 / sqrt(1 + the expected count)
    spread = max(_MAD_TO_SIGMA * median(abs(r - median(rest)) for r in rest), _FLOOR, chance)
    return Verdict(name, day, value, math.expm1(expected), (math.log1p(value) - expected) / spread, len(history))


def _habit(logs: Mapping[date, float], weekday: int, middle: float) -> float:
    """How far this weekday lies from the middle, 0 where too few of it are known."""
    same = [v - middle for d, v in logs.items() if d.weekday() == weekday]
    return median(same) if len(same) >= _WEEKDAY_FROM else 0.0


def judge_gap(days: list[date], today: date) -> tuple[bool, str]:
    """Freshness: -> (is the newest landing day as young as the rhythm of the last 28 days lets expect?, why).

    A lake whose newest day is more than WINDOW_DAYS old is an archive, not a feed: it is not judged.
    """
    if not days:
        return True, "nothing has landed yet"
    newest = max(days)
    age = (today - newest).days
    recent = sorted(d for d in set(days) if (newest - d).days <= WINDOW_DAYS)
    if age > WINDOW_DAYS:
        return True, f"newest landing day {newest}, {age} days ago: an archive without a live feed, not judged"
    if len(recent) < FEWEST_DAYS:
        return True, f"newest landing day {newest}, {age} days ago: {len(recent)} days are too few to know the rhythm"
    usual = median((b - a).days for a, b in zip(recent, recent[1:], strict=False))
    allowed = 2 * usual + 1
    return age <= allowed, (
        f"newest landing day {newest}, {age} days ago; in the {WINDOW_DAYS} days before it a dump came every "
        f"{usual:g} days, so up to {allowed:g} days are usual"
    )
