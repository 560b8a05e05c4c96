"""Silver of one micro-batch: the facts that its events make or change, from all that bronze knows of them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from lakehouse import arrow, delta_log
from lakehouse.lake import Lake
from lakehouse.refine import by_spark
from lakehouse.refine.events import ads, feedback, listens
from lakehouse.refine.fact import LOOKBACK_DAYS
from lakehouse.tables.bronze import EVENTS
from lakehouse.tables.silver import ADS, FEEDBACK, LISTENS

if TYPE_CHECKING:
    import pyarrow as pa

_FACTS = ((LISTENS, listens()), (FEEDBACK, feedback()), (ADS, ads()))
_COLUMNS = sorted({column for _, fact in _FACTS for column in fact.columns})
_SMALL_BYTES = 64 << 20
"""Of what has landed lately; more is looked through by Spark."""


def refine(lake: Lake, events: pa.Table, first_landed: date) -> None:
    """Write the facts that ``events`` (event_type, event_id, play_event_id) touch.

    Made from all that bronze has of them from LOOKBACK_DAYS before ``first_landed`` on, their first landing day. The
    writes are merges by event id, so doing it again changes nothing.
    """
    kinds = set(events["event_type"].unique().to_pylist())
    wanted = [(table, fact) for table, fact in _FACTS if kinds.intersection(fact.all_types)]
    if not wanted:
        return
    since = first_landed - timedelta(days=LOOKBACK_DAYS)
    landed = sum(delta_log.bytes_by_day(lake.settings, EVENTS, (since, None)).values())
    known = (_known_small if landed <= _SMALL_BYTES else _known)(lake, _touched(events), since)
    for table, fact in wanted:
        lake.write(table, fact.over(known))


def _touched(events: pa.Table) -> pa.Array:
    """Ids of the events whose rows ``events`` make or change: their own, and those of the plays they skip."""
    import pyarrow as pa
    import pyarrow.compute as pc

    skips = events.filter(pc.equal(events["event_type"], "skip"))
    others = events.filter(pc.not_equal(events["event_type"], "skip"))
    return pc.unique(pa.chunked_array([*others["event_id"].chunks, *skips["play_event_id"].chunks], pa.string()))


def _known(lake: Lake, ids: pa.Array, since: date) -> pa.Table:
    """All that landed from ``since`` on of the events ``ids``, and the skips of them."""
    import pyarrow as pa
    from pyspark.sql import functions as F

    touched = lake.spark.createDataFrame(pa.table({"touched": ids}))
    row = F.when(F.col("event_type") == "skip", F.col("payload.play_event_id")).otherwise(F.col("event_id"))
    events = lake.read(EVENTS).where(F.col("landing_date") >= F.lit(since))
    events = events.join(F.broadcast(touched), row == F.col("touched"), "left_semi")
    return by_spark.with_columns(events, _COLUMNS).toArrow()


def _known_small(lake: Lake, ids: pa.Array, since: date) -> pa.Table:
    """As ``_known``, read without Spark: a tenth of the time where little has landed."""
    import pyarrow.compute as pc

    touched = arrow.text("event_id").isin(ids) | arrow.text("payload", "play_event_id").isin(ids)
    where = (pc.field("landing_date") >= since) & touched
    return arrow.dataset(lake.settings, EVENTS).to_table(arrow.event_columns(_COLUMNS), where)
