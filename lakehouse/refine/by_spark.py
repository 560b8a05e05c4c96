"""Facts of silver made by Spark: what is too much for one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.refine.fact import Fact
from lakehouse.tables.bronze import PAYLOAD_FIELDS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def frame(fact: Fact, events: DataFrame, only_new: bool) -> DataFrame:
    """Rows of ``fact``, made from ``events``: columns of bronze.events, or with the payload's fields beside them.

    ``only_new``: none of them landed outside the days of ``fact``.
    """
    from pyspark.sql import functions as F

    nested = "payload" in events.columns
    columns = [F.col(f"payload.{c}" if nested and c in PAYLOAD_FIELDS else c).alias(c) for c in fact.columns]
    events = events.where(F.col("event_type").isin(*fact.all_types)).select(*columns)
    return events.sparkSession.sql(fact.sql(only_new), events=events)
