"""Silver of one micro-batch: the listens that its plays and skips make or change, its feedback and its ads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from lakehouse.lake import Lake
from lakehouse.refine import events as refine_events
from lakehouse.refine.ads import AD_EVENTS, ads
from lakehouse.tables.bronze import EVENTS
from lakehouse.tables.silver import ADS, FEEDBACK, LISTENS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


_ACTS = ((FEEDBACK, refine_events.FEEDBACK_ACTIONS, refine_events.feedback), (ADS, AD_EVENTS, ads))


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
    import pyarrow as pa
    from pyspark.sql import functions as F

    if not len(plays):
        return
    ids = lake.spark.createDataFrame(pa.table({"touched": plays}))
    since = first_landed - timedelta(days=refine_events.LOOKBACK_DAYS)

    events = lake.read(EVENTS).where(F.col("landing_date") >= F.lit(since))
    play = F.when(F.col("event_type") == "play", F.col("event_id")).when(
        F.col("event_type") == "skip", F.col("payload.play_event_id")
    )
    events = events.join(F.broadcast(ids), play == F.col("touched"), "left_semi")
    lake.write(LISTENS, refine_events.listens(events, F.lit(True)))


def refine_acts(lake: Lake, kinds: Iterable[str], events: Callable[[], DataFrame]) -> None:
    """Write the facts that are made from one event each; ``events`` gives bronze rows, ``kinds`` are their types."""
    kinds = set(kinds)
    for table, types, refine in _ACTS:
        if kinds.intersection(types):
            lake.write(table, refine(events()))
