"""Days that a lake can hold, and which of them have something new."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

FIRST_DAY = date(2005, 1, 1)
"""Older dumps land on the day they are imported."""

_JOIN_DAYS = 31


class DayOutOfRange(ValueError):
    """A raw folder names a day that does not exist or that no partition has."""


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
