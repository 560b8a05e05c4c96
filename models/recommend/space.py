"""Where tuning may look: the ranges of a configuration's fields, declared beside it, for :mod:`models.tuning`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Real:
    """A number from ``low`` to ``high``; ``log``: its order of magnitude matters, not its distance."""

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: Any) -> bool:
        return value is not None and self.low <= value <= self.high

    def suggest(self, trial: Any, name: str) -> float:
        return trial.suggest_float(name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``, both included."""

    low: int
    high: int
    log: bool = False

    def __contains__(self, value: Any) -> bool:
        return value is not None and self.low <= value <= self.high

    def suggest(self, trial: Any, name: str) -> int:
        return trial.suggest_int(name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choice:
    """One of some values (strings, numbers, booleans or None)."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    def suggest(self, trial: Any, name: str) -> Any:
        return trial.suggest_categorical(name, self.values)


Space = Mapping[str, Real | Whole | Choice]  # field of the configuration -> where it may lie
