"""A small simulated lake, with ads, for features."""

from __future__ import annotations

import io
import json
from datetime import date, timedelta
from types import SimpleNamespace

import msgspec
import pyarrow as pa
import pytest

from lakehouse.catalogue import Track
from lakehouse.parse import parse
from lakehouse.rows import CATALOGUE_SCHEMA, EVENT_SCHEMA, RawFile

START = date(2026, 1, 5)
"""A Monday."""


def parsed(files: list[tuple[date, list[bytes]]], entity: str) -> pa.Table:
    batches = []
    for day, lines in files:
        for good, bad in parse(RawFile(f"raw/{entity}/date={day}/a", entity, day), io.BytesIO(b"\n".join(lines)), b"k"):
            assert bad is None, bad.to_pylist()
            batches.append(good)
    return pa.Table.from_batches(batches, EVENT_SCHEMA if entity == "events" else CATALOGUE_SCHEMA)


def ad_lines(events: list) -> list[bytes]:
    """An ad after every fourth play, and what its listener made of it: skipped, heard or clicked in turn."""
    lines = []
    for number, event in enumerate(e for e in events if type(e).__name__ == "PlayEvent"):
        if number % 4:
            continue
        followed = ("ad_skip", "ad_complete", "ad_click")[number // 4 % 3]
        for place, kind in enumerate(("ad_request", "ad_impression", followed)):
            at = event.occurred_at + timedelta(seconds=place)
            payload = {"propensity": 0.5, "policy": "uniform", "policy_version": "1", "ad_break_id": f"b{number}"}
            line = {
                "event_id": f"{event.event_id}-{kind}",
                "event_type": kind,
                "schema_version": 1,
                "user_id": event.user_id,
                "occurred_at": at.isoformat(),
                "received_at": max(at, event.received_at).isoformat(),
                "context": {"utc_offset_min": event.context.utc_offset_min},
                "payload": payload if kind == "ad_request" else {**payload, "ad_id": f"ad{number % 7}"},
            }
            lines.append(json.dumps(line).encode())
    return lines


@pytest.fixture(scope="session")
def simulated(spark, tmp_path_factory) -> SimpleNamespace:
    """A lake with bronze events, silver listens, ads and tracks of a world of 25 listeners and 10 days.

    ``lake``, its ``tables`` in memory by name, and ``as_of``: the full hour after the newest event.
    """
    from lakehouse.events import encode_event
    from lakehouse.features.batch import newest_hour
    from lakehouse.features.views import VIEWS
    from lakehouse.lake import Lake
    from lakehouse.refine.catalogue import tracks
    from lakehouse.refine.events import ads, listens
    from lakehouse.settings import Settings
    from lakehouse.tables import get_table
    from lakehouse.tables.bronze import EVENTS
    from lakehouse.tables.silver import ADS, LISTENS, TRACKS
    from simulation import World

    folder = tmp_path_factory.mktemp("features")
    lake = Lake(spark, Settings(lake=str(folder / "lake"), state=folder / "state", pseudonym_key="k"))
    world = World.create(users=25, tracks=120, days=10, start=START, seed=5)
    days = [(batch.date, list(batch)) for batch in world.events()]
    entities = [msgspec.json.encode(e) for e in world.catalogue(None, 10) if isinstance(e, Track)]
    catalogue = parsed([(START, entities)], "tracks")
    files = [(day, [encode_event(e) for e in events] + ad_lines(events)) for day, events in days]
    bronze = spark.createDataFrame(parsed(files, "events"))
    lake.write(EVENTS, bronze)
    days = (START, START + timedelta(days=30))
    lake.write(LISTENS, listens(days))
    lake.write(ADS, ads(days))
    lake.write(TRACKS, tracks(spark.createDataFrame(catalogue), lake.read(LISTENS)))
    names = {source for view in VIEWS for source in view.sources} | {TRACKS.name}
    tables = {name: lake.read(get_table(name)) for name in names}
    # in memory: tests read them often
    tables = {name: spark.createDataFrame(frame.toArrow(), frame.schema) for name, frame in tables.items()}
    as_of = newest_hour(tables[LISTENS.name], tables[ADS.name])
    return SimpleNamespace(lake=lake, tables=tables, as_of=as_of)
