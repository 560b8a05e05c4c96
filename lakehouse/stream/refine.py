"""Silver of one micro-batch: the listens that its plays and skips make or change, its feedback and its ads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from lakehouse import arrow, delta_log
from lakehouse.lake import Lake
from lakehouse.refine import events as refine_events
from lakehouse.refine.ads import AD_EVENTS, ads
from lakehouse.tables.bronze import EVENTS
from lakehouse.tables.silver import ADS, FEEDBACK, LISTENS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


_ACTS = ((FEEDBACK, refine_events.FEEDBACK_ACTIONS, refine_events.feedback), (ADS, AD_EVENTS, ads))
_SMALL_BYTES = 64 << 20
"""Of what has landed lately; more is looked through by Spark."""


def touched_plays(events: pa.Table) -> pa.Array:
    """Ids of the plays that ``events`` (event_type, event_id, play_event_id) are, or are skips of."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plays = events.filter(pc.equal(events["event_type"], "play"))["event_id"]
    skipped = events.filter(pc.equal(events["event_type"], "skip"))["play_event_id"]
    return pc.unique(pa.chunked_array([*plays.chunks, *skipped.chunks], pa.string()))


def refine_listens(lake: Lake, plays: pa.Array, first_landed: date) -> None:
    """Write the listens of these play ids, made from all that bronze has of them.

    Looked for from LOOKBACK_DAYS before ``first_landed``, the first landing day of what touches them; the write is a
    merge by event id, so doing it again changes nothing.
    """
    from pyspark.sql import functions as F

    if not len(plays):
        return
    since = first_landed - timedelta(days=refine_events.LOOKBACK_DAYS)
    landed = delta_log.bytes_since(lake.settings, EVENTS, "landing_date", since)
    events = (_known_small if landed <= _SMALL_BYTES else _known)(lake, plays, since)
    lake.write(LISTENS, refine_events.listens(events, F.lit(True)), at_most=len(plays))


def _known(lake: Lake, plays: pa.Array, since: date) -> DataFrame:
    """Plays of these ids and their skips, landed from ``since`` on."""
    import pyarrow as pa
    from pyspark.sql import functions as F

    ids = lake.spark.createDataFrame(pa.table({"touched": plays}))
    play = F.when(F.col("event_type") == "play", F.col("event_id")).when(
        F.col("event_type") == "skip", F.col("payload.play_event_id")
    )
    events = lake.read(EVENTS).where(F.col("landing_date") >= F.lit(since))
    return events.join(F.broadcast(ids), play == F.col("touched"), "left_semi")


def _known_small(lake: Lake, plays: pa.Array, since: date) -> DataFrame:
    """As ``_known``, read without Spark: half the time where little has landed."""
    import pyarrow.compute as pc

    touched = arrow.text("event_id").isin(plays) | arrow.text("payload", "play_event_id").isin(plays)
    columns = [name for name in EVENTS.column_names if name != "raw"]
    return lake.spark.createDataFrame(
        arrow.read(lake.settings, EVENTS, columns, (pc.field("landing_date") >= since) & touched)
    )


def refine_acts(lake: Lake, kinds: Iterable[str], events: Callable[[], DataFrame], at_most: int) -> None:
    """Write the facts that are made from one event each; ``events`` gives ``at_most`` bronze rows, of ``kinds``."""
    kinds = set(kinds)
    for table, types, refine in _ACTS:
        if kinds.intersection(types):
            lake.write(table, refine(events()), at_most)
