"""A fact table of silver as one SELECT over bronze events, in SQL that Spark and DuckDB both understand.

A row is made from all that bronze knows of its event around the days that landed: of several versions the one received
last, so the order of arrival does not matter. ``lakehouse.lake`` writes it: little data in this process, much by Spark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

KNOWN_FROM, KNOWN_TO = "_known_from", "_known_to"
"""Columns beside those of the table: the first and the last day that a version of the row lies in."""

APART = "_apart"
"""And this: did versions of it land so far apart that an earlier write may not have known of both?"""

LOOKBACK_DAYS = 3
"""Versions of an event, or a skip and its play, may land on different days; they find each other within so many."""

Days = tuple[date, date]


@dataclass(frozen=True)
class Fact:
    """Rows that the events landed in ``days`` (both included) make or change; None: all events that it is given.

    ``types`` are the events that become rows. ``also`` are those that change the row of another event: their type and
    the payload field that names it. ``reads`` are the columns of bronze.events, or of its payload, that the row is made
    of; they choose between versions received at one time. ``select`` is SQL over ``latest``, one version an event, and
    ``{events}``, everything.
    """

    types: tuple[str, ...]
    reads: tuple[str, ...]
    select: str
    days: Days | None = None
    also: Mapping[str, str] = field(default_factory=dict)
    also_reads: tuple[str, ...] = ()
    events: pa.Table | DataFrame | None = None

    def over(self, events: pa.Table | DataFrame) -> Fact:
        """The same of these events, in place of those that bronze.events holds."""
        return replace(self, events=events)

    @property
    def all_types(self) -> tuple[str, ...]:
        return (*self.types, *self.also)

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads of bronze.events or its payload."""
        needed = ("event_id", "event_type", "landing_date", "received_at", "occurred_at")
        return tuple(dict.fromkeys((*needed, *self.reads, *self.also.values(), *self.also_reads)))

    @property
    def landed(self) -> Days | None:
        """Landing days that are read: ``days`` and LOOKBACK_DAYS on both sides."""
        if self.days is None:
            return None
        around = timedelta(LOOKBACK_DAYS)
        return self.days[0] - around, self.days[1] + around

    def sql(self, all_new: bool) -> str:
        """The SELECT, with ``{events}`` in place of the events; ``all_new``: none of them landed outside ``days``."""
        types = ", ".join(f"'{name}'" for name in self.types)
        order = ", ".join(f"{name} ASC NULLS FIRST" for name in self.reads)
        return f"""
            WITH known AS (
                SELECT *, CAST(occurred_at AS DATE) AS event_date FROM {{events}}
                WHERE event_type IN ({types}){"" if all_new else self._touched()}
            ), versions AS (
                SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY received_at DESC, {order}) AS _version,
                    min(event_date) OVER (PARTITION BY event_id) AS {KNOWN_FROM},
                    max(event_date) OVER (PARTITION BY event_id) AS {KNOWN_TO},
                    max(landing_date) OVER (PARTITION BY event_id)
                        > min(landing_date) OVER (PARTITION BY event_id) + INTERVAL {LOOKBACK_DAYS} DAY AS {APART}
                FROM known
            ), latest AS (SELECT * FROM versions WHERE _version = 1)
            {self.select}"""

    def _touched(self) -> str:
        assert self.days is not None
        new = f"landing_date BETWEEN DATE '{self.days[0]}' AND DATE '{self.days[1]}'"
        types = ", ".join(f"'{name}'" for name in self.types)
        ids = [f"SELECT event_id FROM {{events}} WHERE event_type IN ({types}) AND {new}"]
        ids += [
            f"SELECT {name} FROM {{events}} WHERE event_type = '{kind}' AND {new}" for kind, name in self.also.items()
        ]
        return f" AND event_id IN ({' UNION ALL '.join(ids)})"


def local(unit: str) -> str:
    """SQL of the hour (0-23) or the weekday (1 = Monday) at the listener's place, UTC where the offset is unknown; null
    for a synthetic clock, which has no time."""
    seconds = "(unix_micros(occurred_at) / 1000000 + coalesce(utc_offset_min, 0) * 60)"
    value = {
        "hour": f"floor({seconds} / 3600) % 24",
        "weekday": f"(floor({seconds} / 86400) + 3) % 7 + 1",  # 1 January 1970 was a Thursday
    }[unit]
    return f"CASE WHEN clock = 'event' THEN CAST({value} AS INT) END"
