"""Answers that are asked for again within seconds: a page that is reloaded, a client that tries again.

The key is all that an answer depends on (version, history, exclusion, moment, length), so a new play or a new version
is a new answer at once; what is the same for longer than ``seconds`` is made anew all the same.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """At most ``size`` values, each for ``seconds``; of 0 seconds nothing is kept."""

    def __init__(self, seconds: float, size: int = 5000):
        self._seconds, self._size = seconds, size
        self._values: OrderedDict[Hashable, tuple[float, Value]] = OrderedDict()

    def get(self, key: Hashable, now: float | None = None) -> Value | None:
        found = self._values.get(key)
        if found is None or (time.monotonic() if now is None else now) - found[0] >= self._seconds:
            return None
        return found[1]

    def put(self, key: Hashable, value: Value, now: float | None = None) -> None:
        if not self._seconds:
            return
        self._values.pop(key, None)
        self._values[key] = time.monotonic() if now is None else now, value
        if len(self._values) > self._size:
            self._values.popitem(last=False)
