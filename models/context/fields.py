"""Context and profile as categorical codes, one vocabulary for training plays and requests.

Numbers (hour, temperature, year of birth, …) fall into fixed bands; words (device, country, …) get codes in the order
in which the training data name them. What is missing, or what no training play named, is ``UNKNOWN``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

UNKNOWN = -1
FIELDS = ("hour", "weekday", "month", "device", "activity", "network", "country", "weather", "temperature")
"""hour 0-23 and weekday 1-7 (1 = Monday) at the listener's place, month 1-12 (UTC), temperature in °C."""
PROFILE_FIELDS = ("birth_year", "gender", "country", "plan")
"""The year of birth in cohorts of five years: an age band that needs no clock and does not shift."""


@dataclass(frozen=True)
class Bands:
    """Numbers from ``low`` to ``high``; a new band begins at each of ``starts``. ``whole``: a band is one number."""

    low: float
    high: float
    starts: tuple[float, ...]
    names: tuple[str, ...]
    whole: bool = True

    def codes(self, values: np.ndarray) -> np.ndarray:
        """int16 [N]: the band of each number (float [N]), UNKNOWN for NaN and for what lies outside."""
        known = (values >= self.low) & (values <= self.high)
        return np.where(known, np.digitize(np.where(known, values, self.low), self.starts), UNKNOWN).astype(np.int16)


def _numbers(low: int, high: int) -> Bands:
    return Bands(low, high, tuple(range(low + 1, high + 1)), tuple(str(n) for n in range(low, high + 1)))


def _intervals(low: float, high: float, starts: Sequence[int], last: int = 0) -> Bands:
    """``last`` is taken off where the name of a band says its last number and not the start of the next."""
    between = [f"{a} to {b - last}" for a, b in zip(starts, starts[1:], strict=False)]
    return Bands(low, high, tuple(starts), (f"below {starts[0]}", *between, f"from {starts[-1]}"), whole=False)


BANDS: dict[str, Bands] = {
    "hour": _numbers(0, 23),
    "weekday": _numbers(1, 7),
    "month": _numbers(1, 12),
    "temperature": _intervals(-100, 70, (0, 10, 20, 30)),
    "birth_year": _intervals(1900, 2100, range(1930, 2025, 5), last=1),
}


@dataclass(frozen=True)
class Categories:
    """``fields`` in the order of the columns of codes; ``names`` has the categories of each by code.

    >>> Categories.of(("hour", "device"), device=("phone",)).encode({"hour": [8, None], "device": ["phone", "tv"]}, 2)
    array([[ 8,  0],
           [-1, -1]], dtype=int32)
    """

    fields: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    _codes: Mapping[str, Mapping[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codes = {f: {name: code for code, name in enumerate(self.names[f])} for f in self.fields}
        object.__setattr__(self, "_codes", codes)

    @classmethod
    def of(cls, fields: Sequence[str], **words: Sequence[str]) -> Categories:
        """Bands where the field is a number, else ``words`` of the field (none by default: all unknown)."""
        return cls(tuple(fields), {f: BANDS[f].names if f in BANDS else tuple(words.get(f, ())) for f in fields})

    def __len__(self) -> int:
        return len(self.fields)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Categories of each field, without the unknown."""
        return tuple(len(self.names[f]) for f in self.fields)

    def column(self, name: str) -> int:
        """The column of a field; raises ValueError where there is none of the name."""
        if name not in self.fields:
            raise ValueError(f"context: no field is called {name!r}; there are {', '.join(self.fields)}")
        return self.fields.index(name)

    def unknown(self, n: int) -> np.ndarray:
        """int32 [n, F]: nothing known."""
        return np.full((n, len(self.fields)), UNKNOWN, np.int32)

    def encode(self, values: Mapping[str, Sequence], n: int) -> np.ndarray:
        """int32 [n, F] of ``n`` raw values a field; fields may be missing, and a value None, "", NaN, or -1 (except as
        a temperature). Raises ValueError for a field that does not exist or a number outside its range."""
        codes = self.unknown(n)
        for name, raw in values.items():
            column = self.column(name)
            if len(raw) != n:
                raise ValueError(f"context: {name} has {len(raw)} values for {n} requests; give one each, or None")
            codes[:, column] = [self._code(name, value) for value in raw]
        return codes

    def decode(self, codes: np.ndarray) -> dict[str, list[str | int | None]]:
        """Raw values of codes [n, F], None where unknown; encoding them gives the codes again."""
        return {name: [self._raw(name, code) for code in codes[:, i].tolist()] for i, name in enumerate(self.fields)}

    def recode(self, codes: np.ndarray, theirs: Categories) -> np.ndarray:
        """int32 [n, F]: codes [n, F'] of other categories as ours, by field and name; UNKNOWN where we lack one."""
        if theirs == self:
            return np.asarray(codes, np.int32)
        out = self.unknown(len(codes))
        for place, name in enumerate(self.fields):
            if name in theirs.fields:
                table = [self._codes[name].get(word, UNKNOWN) for word in theirs.names[name]] + [UNKNOWN]
                out[:, place] = np.asarray(table)[codes[:, theirs.column(name)]]  # -1 is the last of the table
        return out

    def _code(self, name: str, value) -> int:
        if value is None or value == "" or value == UNKNOWN and name != "temperature":
            return UNKNOWN
        bands = BANDS.get(name)
        if bands is None or isinstance(value, str):
            return self._codes[name].get(str(value), UNKNOWN)
        if math.isnan(value):
            return UNKNOWN
        code = int(bands.codes(np.asarray(value, np.float64)))
        if code == UNKNOWN:
            raise ValueError(f"context: {name} {value!r} is not from {bands.low} to {bands.high}; None where unknown")
        return code

    def _raw(self, name: str, code: int) -> str | int | None:
        if code < 0:
            return None
        found = self.names[name][code]
        return int(found) if name in BANDS and BANDS[name].whole else found


class CategoriesBuilder:
    """Codes of columns that come batch by batch; the words of a field grow with them."""

    def __init__(self, fields: Sequence[str]):
        self._fields = tuple(fields)
        self._words: dict[str, dict[str, int]] = {f: {} for f in fields if f not in BANDS}

    def codes(self, name: str, values) -> np.ndarray:
        """int16 [N] of an Arrow array of numbers (a banded field) or of words."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if name in BANDS:
            numbers = pc.fill_null(values.cast(pa.float64()), math.nan)
            return BANDS[name].codes(numbers.to_numpy(zero_copy_only=False))
        known = self._words[name]
        encoded = values.cast(pa.string()).dictionary_encode()
        words = encoded.dictionary.to_pylist()
        table = np.asarray([known.setdefault(w, len(known)) if w else UNKNOWN for w in words] + [UNKNOWN], np.int16)
        return table[pc.fill_null(encoded.indices, len(words)).to_numpy(zero_copy_only=False)]

    def finish(self) -> Categories:
        return Categories.of(self._fields, **{name: tuple(words) for name, words in self._words.items()})
