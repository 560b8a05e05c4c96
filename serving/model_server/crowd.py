"""The requests that a server runs: how many at a time, and whether one may use threads that nobody else needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

QUIET_S = 1.0
"""How long none may have met another. At hundreds of requests a second some always meet; a client that waits for each
answer never meets itself."""


class Crowd:
    """The requests of all models, which take turns.

    at_once: requests that run at a time, the others wait. Requests that share a core all end late; one after another,
    the first of them ends soon and the last no later. spread: whether one that is alone may run on several threads.

    >>> with crowd.turn() as alone: ...                      # spread over threads if alone, else in this thread
    """

    def __init__(self, at_once: int, spread: bool = True, quiet_s: float = QUIET_S):
        self._turns = threading.Semaphore(at_once)
        self._spread, self._quiet_s, self._lock = spread, quiet_s, threading.Lock()
        self._here, self._met_at = 0, float("-inf")

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Wait for a turn; it ends with the block. -> whether to spread over threads."""
        alone = self._arrive()
        try:
            with self._turns:
                yield alone and self._spread
        finally:
            with self._lock:
                self._here -= 1

    def _arrive(self) -> bool:
        """-> nobody else is here, and for ``quiet_s`` nobody has met another."""
        with self._lock:
            now = time.monotonic()
            self._here += 1
            if self._here > 1:
                self._met_at = now
            return now - self._met_at > self._quiet_s
