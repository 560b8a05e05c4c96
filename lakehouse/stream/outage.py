"""How long a broker has been away, and when to ask it again.

>>> outage = Outage(patience_seconds=900)
>>> outage.next_wait(), outage.next_wait()  # seconds; None when patience is at its end
(1.0, 2.0)
>>> outage.over()  # it answered: the next outage is another one
"""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0


class Outage:
    """Waits grow from one second to half a minute and never go beyond ``patience_seconds`` from the first failure."""

    def __init__(self, patience_seconds: float, clock: Callable[[], float] = time.monotonic):
        self._patience, self._clock = patience_seconds, clock
        self.over()

    def over(self) -> None:
        self._since: float | None = None
        self._wait = _FIRST_WAIT

    def next_wait(self) -> float | None:
        now = self._clock()
        if self._since is None:
            self._since = now
        left = self._patience - (now - self._since)
        if left <= 0:
            return None
        wait, self._wait = min(self._wait, left), min(_LONGEST_WAIT, 2 * self._wait)
        return wait
