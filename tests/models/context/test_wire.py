"""A moment travels as texts and arrives as the codes that training has."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.context import FIELDS, PROFILE_FIELDS, Categories
from models.context.served import MomentCodes
from models.context.wire import KEYS, MOMENT, words

CONTEXT = Categories.of(FIELDS, device=("phone", "smart speaker"), country=("FR",), weather=("rain",))
PROFILE = Categories.of(PROFILE_FIELDS, gender=("f", "m"), country=("DE", "FR"), plan=("free",))


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    return MomentCodes(CONTEXT, PROFILE, tmp_path_factory.mktemp("tables"))


def served(codes, texts: list[list[str]]) -> np.ndarray:
    grid = np.full((len(texts), max([1, *map(len, texts)])), "", object)
    for row, said in zip(grid, texts, strict=True):
        row[: len(said)] = said
    return codes(tf.constant(grid)).numpy()


HOURS = st.none() | st.integers(-1, 23)
CELSIUS = st.none() | st.floats(-100, 70) | st.just(float("nan"))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            HOURS, st.sampled_from(["phone", "smart speaker", "fridge", "", None]), CELSIUS,
            st.sampled_from(["DE", "FR", "IT", None]), st.none() | st.integers(1900, 2100),
        ),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_what_arrives_is_what_training_would_have_read(codes, rows):
    hour, device, temperature, country, born = (list(column) for column in zip(*rows, strict=True))
    temperature = [None if t is None else round(t, 3) for t in temperature]
    context = {"hour": hour, "device": device, "temperature": temperature, "country": country}
    profile = {"country": country, "birth_year": born}
    n = len(rows)
    expected = np.concatenate([CONTEXT.encode(context, n), PROFILE.encode(profile, n)], 1)
    np.testing.assert_array_equal(served(codes, words(context, profile, n)), expected)


def test_a_band_is_known_by_its_name_as_by_its_numbers(codes):
    for fields, name, value in ((CONTEXT, "temperature", 12.5), (PROFILE, "birth_year", 1987)):
        code = fields.encode({name: [value]}, 1)
        band = fields.decode(code)[name]
        said = [words({name: [v]} if fields is CONTEXT else {}, {name: [v]} if fields is PROFILE else {}, 1)[0]
                for v in (value, *band)]  # fmt: skip
        found = served(codes, said)
        np.testing.assert_array_equal(found[0], found[1])
        assert found[0][KEYS.index(name)] == code[0, fields.column(name)] >= 0


def test_order_gaps_and_what_nobody_knows_change_nothing(codes):
    plain = served(codes, [["hour=8", "device=phone", "home_country=FR"]])
    mixed = ["", "home_country=FR", "hour=8", "", "device=phone"]
    odd = ["hour=8", "device=phone", "home_country=FR", "mood=fine", "hour=99", "temperature=warm", "="]
    for said in (mixed, odd):
        np.testing.assert_array_equal(served(codes, [said]), plain)
    known = {KEYS[at]: code for at, code in enumerate(plain[0].tolist()) if code >= 0}
    assert known == {"hour": 8, "device": 0, "home_country": 1}
    assert (served(codes, [[]]) == -1).all() and plain.shape == (1, MOMENT)


def test_numbers_out_of_range_are_named():
    with pytest.raises(ValueError, match="hour 24 is not from 0 to 23"):
        words({"hour": [24]}, {}, 1)
    with pytest.raises(ValueError, match="hour has 1 values for 2 requests"):
        words({"hour": [4]}, {}, 2)
