"""Whether requests come one at a time: then one may use threads that nobody else needs."""

from __future__ import annotations

import threading
import time

QUIET_S = 1.0
"""How long none may have met another. At hundreds of requests a second some always meet; a client that waits for each
answer never meets itself."""


class Crowd:
    """The requests that a server runs, of all its models.

    >>> alone = crowd.arrive()
    >>> try: ...                                             # spread over threads if alone, else in this thread
    ... finally: crowd.leave()
    """

    def __init__(self, quiet_s: float = QUIET_S):
        self._quiet_s, self._lock = quiet_s, threading.Lock()
        self._running, self._met_at = 0, float("-inf")

    def arrive(self, now: float | None = None) -> bool:
        """-> nobody else is here, and for ``quiet_s`` nobody has met another."""
        now = time.monotonic() if now is None else now
        with self._lock:
            self._running += 1
            if self._running > 1:
                self._met_at = now
            return now - self._met_at > self._quiet_s

    def leave(self) -> None:
        with self._lock:
            self._running -= 1
