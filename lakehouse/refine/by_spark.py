"""Facts of silver made by Spark: what is too much for one process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lakehouse.refine.fact import Fact
from lakehouse.tables.bronze import PAYLOAD_FIELDS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def with_columns(events: DataFrame, names: Iterable[str]) -> DataFrame:
    """Columns ``names`` of ``events``, fields of the payload (which may be inside still) beside the others."""
    from pyspark.sql import functions as F

    nested = "payload" in events.columns
    return events.select(*(F.col(f"payload.{c}" if nested and c in PAYLOAD_FIELDS else c).alias(c) for c in names))


def frame(fact: Fact, events: DataFrame, only_new: bool) -> DataFrame:
    """Rows of ``fact``, made from ``events``: columns of bronze.events, or with the payload's fields beside them.

    ``only_new``: none of them landed outside the days of ``fact``.
    """
    from pyspark.sql import functions as F

    events = with_columns(events.where(F.col("event_type").isin(*fact.all_types)), fact.columns)
    return events.sparkSession.sql(fact.sql(only_new), events=events)
