"""Moment and listener on their way to a served model: texts such as "hour=8" or "device=phone", in any order.

So a request names what it knows, and a field more or less changes no signature. The fields are those of the context,
and of the profile, whose country is called ``home_country`` here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from models.context.fields import BANDS, FIELDS, PROFILE_FIELDS, UNKNOWN, Categories

KEYS = (*FIELDS, *("home_country" if name == "country" else name for name in PROFILE_FIELDS))
"""Name of each field in a text: those of ``FIELDS``, then those of ``PROFILE_FIELDS``."""
MOMENT = len(KEYS)
_FIELDS = (*FIELDS, *PROFILE_FIELDS)
_NUMBERS = Categories.of([name for name in (*FIELDS, *PROFILE_FIELDS) if name in BANDS])


def words(context: Mapping[str, Sequence], profile: Mapping[str, Sequence], n: int) -> list[list[str]]:
    """The texts of ``n`` requests; what is unknown (None, "", NaN, and -1 except as a temperature) has none.

    >>> words({"hour": [8, None], "device": ["phone", ""]}, {"country": ["FR", None]}, 2)
    [['hour=8', 'device=phone', 'home_country=FR'], []]

    Raises ValueError for a number outside the range of its field, or where a field has not ``n`` values.
    """
    _NUMBERS.encode({name: v for name, v in (*context.items(), *profile.items()) if name in _NUMBERS.fields}, n)
    out: list[list[str]] = [[] for _ in range(n)]
    for at, (name, key) in enumerate(zip(_FIELDS, KEYS, strict=True)):
        values = (context if at < len(FIELDS) else profile).get(name)
        for row, value in zip(out, () if values is None else values, strict=False):
            if known(name, value):
                row.append(f"{key}={int(value) if name in BANDS and BANDS[name].whole else value}")
    return out


def sides(said: Mapping[str, Sequence]) -> tuple[dict[str, Sequence], dict[str, Sequence]]:
    """Values by ``KEYS`` -> (context, profile) by ``FIELDS`` and ``PROFILE_FIELDS``; other keys are left out."""
    found = [(name, said.get(key)) for name, key in zip(_FIELDS, KEYS, strict=True)]
    return tuple({name: values for name, values in part if values is not None}
                 for part in (found[: len(FIELDS)], found[len(FIELDS) :]))  # fmt: skip


def known(name: str, value: object) -> bool:
    """Whether a raw value of a field says anything."""
    if value is None or value == "" or isinstance(value, float) and math.isnan(value):
        return False
    return value != UNKNOWN or name == "temperature"
