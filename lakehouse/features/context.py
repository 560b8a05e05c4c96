"""What an event says of its own moment: the same from a row in Python and from columns in Spark.

Nothing is looked up and nothing is remembered. Where a source does not say, a number is -1 and a text is "unknown"; a
synthetic clock has no hour, day or season.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import Column

UNKNOWN = "unknown"
SEASONS = ("winter", "spring", "summer", "autumn")
# fmt: off
SOUTHERN = frozenset((
    "AO", "AR", "AU", "BI", "BO", "BR", "BW", "CD", "CG", "CK", "CL", "EC", "FJ", "GA", "ID", "KM", "LS", "MG", "MU",
    "MW", "MZ", "NA", "NC", "NR", "NZ", "PE", "PF", "PG", "PY", "RE", "RW", "SB", "SC", "SZ", "TL", "TO", "TV", "TZ",
    "UY", "VU", "WS", "YT", "ZA", "ZM", "ZW",
))
"""Countries whose people live south of the equator, most of them (ISO 3166)."""

FRIDAY_WEEKEND = frozenset((
    "BD", "BH", "DZ", "EG", "IL", "IQ", "JO", "KW", "LY", "MV", "OM", "QA", "SA", "SD", "SY", "YE",
))
"""Countries whose weekend is Friday and Saturday. Public holidays count as the day of the week they fall on."""
# fmt: on

NUMBERS = ("local_hour", "local_weekday", "hour_of_week", "weekend")
TEXTS = ("season", "activity", "device_type", "network", "weather", "playlist_type", "country")
CONTEXT = {
    "local_hour": "hour at the listener's place, -1 unknown",
    "local_weekday": "1 Monday … 7 Sunday there, -1 unknown",
    "hour_of_week": "0 Monday 0-1 h … 167 Sunday 23-24 h there, -1 unknown",
    "weekend": "1 on the two days of the country's weekend (Saturday and Sunday if it is unknown), -1 unknown",
    "season": "winter, spring, summer or autumn by month (UTC) and hemisphere; unknown without a country",
    "activity": "what the listener was doing",
    "device_type": "phone, desktop, speaker, …",
    "network": "wifi, cellular, offline",
    "weather": "weather at the listener's place",
    "playlist_type": "kind of playlist or surface played from",
    "country": "ISO 3166 code",
    "temperature_c": "temperature there, °C; null unknown",
}
"""name -> meaning, in the order of the columns."""


def context_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """The context of an event with the fields of ``silver.listens`` (times in UTC); absent ones are unknown."""
    timed = event.get("clock") != "synthetic"
    hour, weekday = (event.get(name) if timed else None for name in ("local_hour", "local_weekday"))
    country = event.get("country")
    at = event.get("occurred_at") if timed else None
    weekend = (5, 6) if country in FRIDAY_WEEKEND else (6, 7)
    values = {
        "local_hour": -1 if hour is None else hour,
        "local_weekday": -1 if weekday is None else weekday,
        "hour_of_week": -1 if hour is None or weekday is None else (weekday - 1) * 24 + hour,
        "weekend": -1 if weekday is None else int(weekday in weekend),
        "season": UNKNOWN if at is None or country is None else SEASONS[_quarter(at.month, country in SOUTHERN)],
        **{name: event.get(name) or UNKNOWN for name in TEXTS[1:]},
        "temperature_c": event.get("temperature_c"),
    }
    return {name: values[name] for name in CONTEXT}


def _quarter(month: int, southern: bool) -> int:
    """Meteorological seasons: December, January and February are the northern winter."""
    return (month % 12 // 3 + (2 if southern else 0)) % 4


def context_columns() -> dict[str, Column]:
    """The same as Spark columns over ``silver.listens``: name -> column."""
    from pyspark.sql import functions as F

    timed = F.col("clock") != "synthetic"
    hour, weekday = (F.when(timed, F.col(name)) for name in ("local_hour", "local_weekday"))
    early = F.coalesce(F.col("country").isin(*sorted(FRIDAY_WEEKEND)), F.lit(False))
    weekend = F.when(early, weekday.isin(5, 6)).otherwise(weekday.isin(6, 7)).cast("int")
    south = F.col("country").isin(*sorted(SOUTHERN))
    month = F.month("occurred_at")
    quarter = F.floor(F.pmod(month, F.lit(12)) / 3) + F.when(south, 2).otherwise(0)
    season = F.element_at(F.array(*map(F.lit, SEASONS)), (F.pmod(quarter, F.lit(4)) + 1).cast("int"))
    columns = {
        "local_hour": F.coalesce(hour, F.lit(-1)),
        "local_weekday": F.coalesce(weekday, F.lit(-1)),
        "hour_of_week": F.coalesce((weekday - 1) * 24 + hour, F.lit(-1)),
        "weekend": F.coalesce(weekend, F.lit(-1)),
        "season": F.coalesce(F.when(timed & F.col("country").isNotNull(), season), F.lit(UNKNOWN)),
        **{name: F.coalesce(F.nullif(F.col(name), F.lit("")), F.lit(UNKNOWN)) for name in TEXTS[1:]},
        "temperature_c": F.col("temperature_c"),
    }
    return {name: columns[name].alias(name) for name in CONTEXT}
