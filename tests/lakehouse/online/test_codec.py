"""What goes into a row comes out of it; what can not go in is refused by name."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.online.codec import header
from lakehouse.online.rows import Field, Row, RowError, RowSchema, SchemaMismatch
from lakehouse.online.views import view_of
from lakehouse.tables import gold

SCHEMA = RowSchema(
    "everything",
    (
        Field("whole", "int64"),
        Field("wholes", "int64", size=2, default=-1),
        Field("single", "float32", default=0.5),
        Field("vector", "float32", size=3),
        Field("double", "float64", default=math.nan),
        Field("doubles", "float64", size=2),
        Field("moment", "timestamp"),
        Field("names", "ids", size=4),
    ),
)
_WHOLE = st.integers(-(2**63), 2**63 - 1)
_SINGLE = st.floats(width=32, allow_nan=False)
_DOUBLE = st.floats(allow_nan=False)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "whole": _WHOLE,
        "wholes": st.lists(_WHOLE, min_size=2, max_size=2),
        "single": _SINGLE,
        "vector": st.lists(_SINGLE, min_size=3, max_size=3),
        "double": _DOUBLE,
        "doubles": st.lists(_DOUBLE, min_size=2, max_size=2),
        "moment": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda m: m.replace(tzinfo=UTC)),
        "names": st.lists(st.text(max_size=20).filter(lambda s: "\ud800" not in s), max_size=4),
    },
)
_EMPTY = {
    "whole": 0,
    "wholes": [-1, -1],
    "single": 0.5,
    "vector": [0, 0, 0],
    "doubles": [0, 0],
    "moment": None,
    "names": [],
}


@given(ROWS, st.integers(-(10**15), 10**16))
def test_every_value_comes_back_exactly(values, as_of_us):
    [payload] = SCHEMA.codec.encode([values], as_of_us)
    row = SCHEMA.codec.row("k", payload, 0)
    got = {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in row.values.items()}
    if "double" not in values:
        assert math.isnan(got.pop("double"))
    assert got == {**_EMPTY, **values}
    assert row.as_of_us == as_of_us
    numbers = [x for f in SCHEMA.fields if f.numeric for x in np.atleast_1d(row.values[f.name])]
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(row.vector, np.array(numbers, np.float32))
    assert len(SCHEMA.vector_names) == len(row.vector) == 10


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"whole": 1.5}, "field whole: 1.5 is no int64"),
        ({"whole": "x"}, "field whole: 'x' is no int64"),
        ({"whole": 2**63}, "field whole: 9223372036854775808 is no int64"),
        ({"vector": [1, 2]}, r"field vector: \[1, 2\] is no float32\[3\]"),
        ({"moment": "now"}, "field moment: 'now' is no timestamp"),
        ({"names": list("abcde")}, "field names: 5 ids, at most 4 fit"),
        ({"names": [7]}, "field names: 7 is no id"),
        ({"nmes": []}, "view everything has no field nmes; it has whole,"),
    ],
)
def test_a_value_that_does_not_fit_is_named(values, message):
    with pytest.raises(RowError, match=message):
        SCHEMA.codec.encode([{}, values], 0)


@pytest.mark.parametrize(
    "other",
    [
        RowSchema("other", SCHEMA.fields),
        RowSchema("everything", SCHEMA.fields[::-1]),
        RowSchema("everything", (*SCHEMA.fields[:-1], Field("names", "ids", size=5))),
        RowSchema("everything", (Field("whole", "int64", default=1), *SCHEMA.fields[1:])),
    ],
)
def test_a_row_of_another_schema_is_refused(other):
    [payload] = SCHEMA.codec.encode([{}], 0)
    with pytest.raises(SchemaMismatch, match="was written with schema"):
        other.codec.row("k", payload, 0)


def test_a_schema_that_was_described_is_the_same_again():
    assert RowSchema.of(SCHEMA.view, SCHEMA.describe()).hash == SCHEMA.hash
    assert RowSchema("everything", SCHEMA.fields, ttl_seconds=5).hash == SCHEMA.hash


def test_bytes_that_are_no_row_are_refused():
    for junk in (b"", b"x" * 10, b"x" * 100):
        with pytest.raises(RowError, match="is no row of layout 1"):
            header(junk)


def test_schemas_that_can_not_be():
    for make in (
        lambda: Field("Name", "int64"),
        lambda: Field("a", "text"),
        lambda: Field("a", "int64", size=0),
        lambda: Field("a", "int64", default=0.5),
        lambda: RowSchema("v", ()),
        lambda: RowSchema("v", (Field("a", "int64"), Field("a", "ids"))),
        lambda: RowSchema("v", (Field("a", "int64"),), ttl_seconds=0),
    ):
        with pytest.raises(RowError):
            make()


def test_vectors_can_not_be_changed_by_a_reader():
    row = Row(SCHEMA, "k", SCHEMA.codec.default_vector)
    with pytest.raises(ValueError, match="read-only"):
        row.vector[0] = 1


def test_a_view_of_flat_columns_comes_from_the_contract():
    view = view_of(gold.USER_FEATURES, defaults={"skip_rate": 0.25}, ttl_seconds=60)
    fields = {f.name: f for f in view.schema.fields}
    assert "user_key" not in fields
    assert (fields["plays"].kind, fields["top_genre"].kind, fields["last_at"].kind) == ("int64", "ids", "timestamp")
    assert fields["skip_rate"].default == 0.25 and math.isnan(fields["completion"].default)
    assert fields["repeat_rate"].default == 0  # never null
    with pytest.raises(RowError, match=r"gold.sequences, column track_ids: array<string> has no kind of field"):
        view_of(gold.SEQUENCES)
