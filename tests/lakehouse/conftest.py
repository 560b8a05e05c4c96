"""Bronze frames from raw lines, without a lake."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import date

import pyarrow as pa
import pytest
from raw_zone import DAY

from lakehouse.parse import parse
from lakehouse.rows import CATALOGUE_SCHEMA, EVENT_SCHEMA, RawFile


@pytest.fixture
def frame(spark) -> Callable:
    """frame({landing day: [raw line as a dict, ...]}, entity) -> the bronze frame; every line has to be good."""

    def make(lines: dict[date, list[dict]] | list[dict], entity: str = "events"):
        batches = []
        for day, some in (lines if isinstance(lines, dict) else {DAY: lines}).items():
            data = b"\n".join(json.dumps(one).encode() for one in some)
            for good, bad in parse(RawFile(f"raw/{entity}/date={day}/a", entity, day), io.BytesIO(data), b"test"):
                assert bad is None, bad.to_pylist()
                batches.append(good)
        schema = EVENT_SCHEMA if entity == "events" else CATALOGUE_SCHEMA
        return spark.createDataFrame(pa.Table.from_batches(batches, schema))

    return make
