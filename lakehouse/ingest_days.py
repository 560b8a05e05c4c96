"""Days that a lake can hold, and which of them have something new."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

FIRST_DAY = date(2005, 1, 1)
"""Older dumps land on the day they are imported."""

_JOIN_DAYS = 31

ADVICE = "Move the file to the folder of the day it arrived (raw/<entity>/date=YYYY-MM-DD/) and run again"


class DayOutOfRange(ValueError):
    """A raw folder names a day that does not exist or that no partition has."""


def landing_day(text: str, path: str) -> date:
    """The day of a raw folder ``date=<text>``; raises DayOutOfRange that names the file."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DayOutOfRange(f"{path}: {text} is not a day. {ADVICE}") from None


def check_partition(day: date, path: str, today: date) -> None:
    """Raises DayOutOfRange for a day before the first partition or after ``today``."""
    if not FIRST_DAY <= day <= today:
        raise DayOutOfRange(f"{path}: landing date {day} is outside {FIRST_DAY} to {today}. {ADVICE}")


def spans(days: Iterable[date]) -> list[tuple[date, date]]:
    """Days as few (first, last) spans: one run each. Days at most a month apart share a span.

    >>> spans([date(2026, 1, 1), date(2026, 1, 5), date(2020, 1, 1)])
    [(datetime.date(2020, 1, 1), datetime.date(2020, 1, 1)), (datetime.date(2026, 1, 1), datetime.date(2026, 1, 5))]
    """
    result: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if result and day - result[-1][1] <= timedelta(days=_JOIN_DAYS):
            result[-1] = (result[-1][0], day)
        else:
            result.append((day, day))
    return result
