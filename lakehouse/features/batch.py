"""The batch use: the row of every entity as of one time, for the gold tables and the online store.

Only events within the view's longest window are read: a day's run costs the same however long the lake's history is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse.features.declare import FeatureView
from lakehouse.features.facts import facts
from lakehouse.features.groups import at_one_time, groups_for

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLOCK_SKEW = timedelta(days=1)
"""An event may say it happened that long after it was received; no more, says the event contract."""


def newest_hour(*streams: DataFrame) -> datetime:
    """The full hour after the newest event received in ``streams``: the ``as_of`` of a run, the same whenever it runs.

    EPOCH where there is no event.
    """
    from pyspark.sql import functions as F

    newest = [
        row[0] for row in (s.agg(F.unix_micros(F.max("received_at"))).first() for s in streams) if row[0] is not None
    ]
    if not newest:
        return EPOCH
    hours = max(newest) // 3_600_000_000 + 1
    return EPOCH + hours * HOUR


def as_of_table(view: FeatureView, tables: Mapping[str, DataFrame], as_of: datetime, rows: int = 0) -> DataFrame:
    """The rows of ``gold.<view>`` as of just before ``as_of`` (UTC).

    ``tables``: as ``facts`` wants them. ``rows``: about how many events they hold, to choose the size of groups.
    """
    from pyspark.sql import functions as F

    oldest = as_of - timedelta(milliseconds=view.horizon)
    within = {name: _since(name, frame, oldest) for name, frame in tables.items()}
    time_ms = (as_of - EPOCH) // timedelta(milliseconds=1)
    values = at_one_time(view, facts(within, [view]), time_ms, groups_for(rows))
    return values.withColumn("as_of", F.timestamp_millis(F.lit(time_ms)))


def _since(name: str, frame: DataFrame, oldest: datetime) -> DataFrame:
    """Without the files of days that are too old; a file is found by its day."""
    if "event_date" in frame.columns:
        return frame.where(f"event_date >= DATE'{oldest.date()}'")
    if "landing_date" in frame.columns:
        return frame.where(f"landing_date >= DATE'{(oldest - CLOCK_SKEW).date()}'")
    return frame
