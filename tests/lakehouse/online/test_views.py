"""Every view of the platform, with rows of its table's types, is served as its table says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse import delta_log
from lakehouse.contract import Column
from lakehouse.features.views import VIEWS as FEATURE_VIEWS
from lakehouse.online.materialise import materialise
from lakehouse.online.store import open_store
from lakehouse.online.verify import compare_with_delta
from lakehouse.online.views import VIEWS, View, get_view

ROWS = 40
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_ARROW = {
    "bigint": pa.int64(),
    "int": pa.int32(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
    "array<string>": pa.list_(pa.string()),
    "array<float>": pa.list_(pa.float32()),
}


def value(view: View, column: Column, row: int, chance: np.random.Generator) -> Any:
    if column.name in view.table.key:
        return row if column.type == "int" else f"{column.name}-{row}"
    if column.nullable and row % 4 == 0:
        return None
    size = next((f.size for f in view.schema.fields if f.name == column.name), 1)
    return {
        "bigint": lambda: int(chance.integers(0, 2**40)),
        "float": lambda: float(np.float32(chance.random())),
        "double": chance.random,
        "string": lambda: f"text-{row}",
        "timestamp": lambda: NOON,
        "array<string>": lambda: [f"id-{i}" for i in range(row % (size + 1))],
        "array<float>": lambda: [float(np.float32(x)) for x in chance.random(size)],
    }[column.type]()


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_served_as_its_table_says(name, settings):
    view, chance = get_view(name), np.random.default_rng(3)
    columns = {c.name: [value(view, c, row, chance) for row in range(ROWS)] for c in view.table.columns}
    schema = pa.schema({c.name: _ARROW[c.type] for c in view.table.columns})
    write_deltalake(delta_log.uri(settings, view.table), pa.table(columns, schema))
    with open_store(settings) as store:
        assert materialise(settings, store, view).info.rows == ROWS
        result = compare_with_delta(settings, store, view, ROWS, seed=1)
        assert (result.compared, result.differences) == (ROWS, [])
        assert len(store.get(view.schema, "nobody").vector) == len(view.schema.vector_names)


def test_keys_of_several_columns_are_made_as_the_features_make_them(settings):
    by_hour = next(v for v in FEATURE_VIEWS if v.keys == ("user_key", "hour_of_week"))
    view = get_view(by_hour.name)
    row = {c.name: value(view, c, 5, np.random.default_rng(1)) for c in view.table.columns}
    schema = pa.schema({c.name: _ARROW[c.type] for c in view.table.columns})
    write_deltalake(delta_log.uri(settings, view.table), pa.Table.from_pylist([row], schema))
    with open_store(settings) as store:
        materialise(settings, store, view)
        assert store.get(view.schema, by_hour.row_key("user_key-5", 5), now=NOON).found


def test_an_unknown_view_is_answered_with_the_nearest():
    with pytest.raises(KeyError, match="no view 'user_profil'.*did you mean user_profile"):
        get_view("user_profil")
