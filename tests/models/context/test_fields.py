from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.context import FIELDS, PROFILE_FIELDS, UNKNOWN, Categories
from models.context.fields import BANDS, CategoriesBuilder

WORDS = {"device": ("phone", "tv"), "activity": ("work",), "network": ("wifi",), "country": ("SE", "US"), "weather": ()}
CONTEXT = Categories.of(FIELDS, **WORDS)


def test_raw_values_of_every_kind_become_codes():
    values = {
        "hour": [0, 23, "7"],
        "weekday": [1, 7, np.int32(3)],
        "temperature": [-4.5, 10, 45],
        "device": ["tv", "", "?"],
    }
    codes = CONTEXT.encode(values, 3)
    assert codes[:, 0].tolist() == [0, 23, 7]
    assert codes[:, 1].tolist() == [0, 6, 2]
    assert codes[:, FIELDS.index("temperature")].tolist() == [0, 2, 4]
    assert codes[:, FIELDS.index("device")].tolist() == [1, UNKNOWN, UNKNOWN]
    assert (codes[:, FIELDS.index("month")] == UNKNOWN).all()


def test_unknown_is_said_in_several_ways():
    codes = CONTEXT.encode({"hour": [None, -1, float("nan"), ""], "temperature": [None, float("nan"), "", -1]}, 4)
    assert (codes[:, 0] == UNKNOWN).all()
    assert codes[:, FIELDS.index("temperature")].tolist() == [UNKNOWN] * 3 + [0], "-1 °C is a temperature"


def test_what_cannot_be_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="hour 24 is not from 0 to 23"):
        CONTEXT.encode({"hour": [24]}, 1)
    with pytest.raises(ValueError, match="no field is called 'hours'; there are hour, weekday"):
        CONTEXT.encode({"hours": [4]}, 1)
    with pytest.raises(ValueError, match="device has 1 values for 2 requests"):
        CONTEXT.encode({"device": ["tv"]}, 2)


def _codes(fields: Categories):
    return st.lists(st.tuples(*(st.integers(-1, size - 1) for size in fields.sizes)), min_size=1, max_size=5)


@given(_codes(CONTEXT))
def test_decoding_and_encoding_again_changes_nothing(rows):
    codes = np.array(rows, np.int32)
    assert (CONTEXT.encode(CONTEXT.decode(codes), len(codes)) == codes).all()


@given(st.sampled_from(sorted(BANDS)), st.lists(st.none() | st.integers(-150, 2200), min_size=1, max_size=20))
def test_training_and_requests_read_numbers_alike(name, values):
    band = BANDS[name]
    inside = [v if v is not None and band.low <= v <= band.high else None for v in values]
    fields = Categories.of([name])
    built = CategoriesBuilder([name]).codes(name, pa.array(values, pa.int32()))
    if name != "temperature":
        inside = [None if v == -1 else v for v in inside]
    assert built.tolist() == fields.encode({name: inside}, len(values))[:, 0].tolist()


def test_words_grow_batch_by_batch_and_keep_their_codes():
    builder = CategoriesBuilder(PROFILE_FIELDS)
    first = builder.codes("plan", pa.array(["free", None, "family", ""]))
    second = builder.codes("plan", pa.array(["premium", "free"]))
    assert (first.tolist(), second.tolist()) == ([0, UNKNOWN, 1, UNKNOWN], [2, 0])
    fields = builder.finish()
    assert fields.names["plan"] == ("free", "family", "premium")
    assert fields.names["birth_year"][0] == "below 1930"
    assert fields.sizes[PROFILE_FIELDS.index("gender")] == 0
