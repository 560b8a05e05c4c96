"""Facts of silver made in this process by DuckDB: what Spark takes seconds to plan and start is a tenth of a second.

DuckDB keeps to its memory and spills to disk beyond it; ``Settings.spark_above_mb`` says from where on Spark does it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakehouse import arrow, delta_log
from lakehouse.refine.fact import Fact
from lakehouse.settings import Settings
from lakehouse.tables.bronze import EVENTS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_BATCH_ROWS = 100_000


class TooMuch(Exception):
    """Neither the memory nor the disk of this process holds it."""


def is_small(settings: Settings, fact: Fact) -> bool:
    """Is ``fact`` made from so little that this process does it?"""
    import pyarrow as pa

    if fact.events is not None:
        return isinstance(fact.events, pa.Table)
    return sum(delta_log.bytes_by_day(settings, EVENTS, fact.landed).values()) <= settings.spark_above_mb << 20


@contextmanager
def rows(settings: Settings, fact: Fact) -> Iterator[pa.RecordBatchReader]:
    """Rows of ``fact``, a batch at a time: the table's columns, then those of ``refine.fact``.

    Raises TooMuch, also while they are read.
    """
    import duckdb

    with _connection(settings) as connection:
        try:
            if fact.events is None:
                connection.register("bronze", scan(settings, fact))
                connection.execute("CREATE TEMP TABLE events AS FROM bronze")
            else:
                connection.register("events", fact.events)
            statement = fact.sql(only_new(settings, fact)).format(events="events")
            yield connection.sql(statement).to_arrow_reader(_BATCH_ROWS)
        except duckdb.OutOfMemoryException as error:
            raise TooMuch(str(error)) from error


def only_new(settings: Settings, fact: Fact) -> bool:
    """Did nothing land around the days of ``fact`` that it would have to look at?"""
    if fact.days is None:
        return True
    if fact.events is not None:
        return False
    landed = delta_log.bytes_by_day(settings, EVENTS, fact.landed)
    return all(fact.days[0] <= day <= fact.days[1] for day in landed)


def scan(settings: Settings, fact: Fact) -> pa.RecordBatchReader:
    """The events that ``fact`` reads, payload fields beside the others."""
    where = arrow.text("event_type").isin(fact.all_types)
    if fact.landed:
        where &= arrow.between("landing_date", *fact.landed)
    columns = arrow.event_columns(fact.columns)
    return arrow.dataset(settings, EVENTS).scanner(columns=columns, filter=where).to_reader()


@contextmanager
def _connection(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    folder = settings.state_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="facts-", dir=folder) as spill, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{settings.in_process_memory}'")
        connection.execute(f"SET temp_directory = '{spill}'")
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        connection.execute("CREATE TEMP MACRO unix_micros(moment) AS epoch_us(moment)")  # as Spark calls it
        yield connection
