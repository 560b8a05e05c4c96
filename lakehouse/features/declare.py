"""What a feature is: terms over the facts of one entity, and a formula over the terms. Nothing here computes.

A ``Term`` is one number (or list) made from the events that count at a time t (see the package's docstring); a
``Feature`` names the terms it needs and the formula over them; a ``FeatureView`` is a row of features of one entity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from lakehouse.online.rows import RowSchema

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
KEY_SEPARATOR = "\x1f"
"""Between the parts of a compound key: the unit separator, which no id or name holds."""

Kind = Literal["int64", "float32", "ids"]
SQL_TYPES: dict[str, str] = {"int64": "bigint", "float32": "float", "ids": "array<string>"}


class DeclarationError(ValueError):
    """A feature that can not be; the text names the view, the feature and what is wrong."""


@dataclass(frozen=True)
class Term:
    """Events with a ``measure`` other than 0, not older than ``window`` ms."""

    measure: str
    window: int

    def __post_init__(self) -> None:
        if self.window <= 0:
            raise DeclarationError(f"{self}: the window must be above 0, else the state of the stream has no end")

    def columns(self) -> set[str]:
        """Columns of the facts that the term reads."""
        return {self.measure}


@dataclass(frozen=True)
class Total(Term):
    """Sum of ``measure``. ``lag`` > 0 leaves out the events of the last ``lag`` ms.

    ``half_life`` (ms) weighs each event by 2^(-age / half_life).
    """

    lag: int = 0
    half_life: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.lag < self.window:
            raise DeclarationError(f"{self}: the lag must lie in 0 … window; a negative one would look ahead")
        if self.half_life is not None and (self.half_life <= 0 or self.lag):
            raise DeclarationError(f"{self}: a half-life must be above 0, and has no lag")


@dataclass(frozen=True)
class Distinct(Term):
    """How many different values of the text ``column`` the events have."""

    column: str = "track_id"
    lag: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.lag < self.window:
            raise DeclarationError(f"{self}: the lag must lie in 0 … window; a negative one would look ahead")

    def columns(self) -> set[str]:
        return {self.measure, self.column}


@dataclass(frozen=True)
class Since(Term):
    """Milliseconds from the newest event to t; -1 if there is none."""


@dataclass(frozen=True)
class LastIds(Term):
    """The ``size`` newest values of the text ``column``, newest first."""

    column: str = "track_id"
    size: int = 50

    def columns(self) -> set[str]:
        return {self.measure, self.column}


@dataclass(frozen=True)
class TopIds(Term):
    """The ``size`` most frequent values of the text ``column``, ties in order of the text."""

    column: str = "genre"
    size: int = 5

    def columns(self) -> set[str]:
        return {self.measure, self.column}


@dataclass(frozen=True)
class Session(Term):
    """A figure of the session that is open at t: events without a silence longer than ``gap`` ms, up to t.

    ``part``: events so far, skips so far, or ms since it began; 0 where none is open. The silence is measured from the
    end of what was heard, as in silver.sessions; a session longer than the window is cut.
    """

    part: Literal["events", "skips", "ms"] = "events"
    gap: int = 30 * MINUTE

    def columns(self) -> set[str]:
        return {self.measure, "ms_played", "skips"}


@dataclass(frozen=True)
class Feature:
    """One column of a view. ``formula`` takes an array for each term and gives the values, null-free.

    ``default`` is the value where no event counts; a test holds the two together. ``size`` is the length of a vector
    or the longest list of ids.
    """

    name: str
    description: str
    terms: tuple[Term, ...]
    formula: Callable[..., Any]
    kind: Kind = "float32"
    size: int = 1
    default: float = 0
    low: float | None = None
    high: float | None = None

    @property
    def sql_type(self) -> str:
        kind = SQL_TYPES[self.kind]
        return f"array<{kind}>" if self.size > 1 and self.kind != "ids" else kind

    @property
    def empty(self) -> Any:
        """The default as a value of a row."""
        if self.kind == "ids":
            return []
        number = int(self.default) if self.kind == "int64" else float(self.default)
        return number if self.size == 1 else [number] * self.size


@dataclass(frozen=True)
class FeatureView:
    """Features of one entity. ``keys`` are columns of the facts; the first one decides where the work is done.

    ``ttl``: how long a row may be served after its ``as_of``. ``sources``: the tables that its facts come from.
    """

    name: str
    description: str
    keys: tuple[str, ...]
    features: tuple[Feature, ...]
    sources: tuple[str, ...]
    ttl: timedelta
    owner: str = "team:data-platform"

    def __post_init__(self) -> None:
        names = [*self.keys, "as_of", *(f.name for f in self.features)]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice or not self.keys or not self.features:
            raise DeclarationError(f"view {self.name}: needs keys and features, each once; twice: {twice or 'none'}")

    @property
    def horizon(self) -> int:
        """ms: no older event counts, so that no state has to remember it."""
        return max(term.window for term in self.terms)

    @property
    def terms(self) -> tuple[Term, ...]:
        """Every term that a feature asks for, once."""
        return tuple(dict.fromkeys(term for feature in self.features for term in feature.terms))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the facts that the terms read, in a fixed order."""
        return tuple(sorted(set().union(*(term.columns() for term in self.terms))))

    @property
    def is_personal(self) -> bool:
        return "user_key" in self.keys

    def row_key(self, *values: Any) -> str:
        """The key of an online row; raises DeclarationError for a wrong number of values."""
        if len(values) != len(self.keys):
            raise DeclarationError(f"view {self.name} has the keys {', '.join(self.keys)}; got {values!r}")
        return KEY_SEPARATOR.join(map(str, values))

    def row_schema(self) -> RowSchema:
        """The online row: every feature as a typed field with its default."""
        from lakehouse.online.rows import Field, RowSchema

        fields = tuple(Field(f.name, f.kind, f.size, 0 if f.kind == "ids" else f.default) for f in self.features)
        return RowSchema(self.name, fields, self.ttl.total_seconds())
