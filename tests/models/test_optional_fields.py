"""Weather and place are optional: where no event and no request tells them, a model is the one without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from context_world import sequence_batch_with_context
from listening_world import track_batch

from models.baselines import NAMES, BaselineConfig
from models.baselines import make as make_baseline
from models.data import ListeningData
from models.recommend.als import AlsConfig
from models.recommend.base import Requests
from models.recommend.ease import EaseConfig
from models.recommend.ncf_config import NcfConfig
from models.recommend.popularity import Popularity, PopularityConfig
from models.recommend.requests import moment_of, requests_of
from models.recommend.two_tower import TwoTower

OPTIONAL = {"weathers": "weather", "temperatures_c": "temperature", "countries": "country"}


@pytest.fixture(scope="module")
def without_columns() -> ListeningData:
    """Sequences of a lake that never heard of weather and place."""
    batch = sequence_batch_with_context()
    return ListeningData.from_batches([batch.drop_columns(list(OPTIONAL))], [track_batch()])


@pytest.fixture(scope="module")
def with_nulls() -> ListeningData:
    """Sequences with the columns, every value null."""
    batch = sequence_batch_with_context()
    for name in OPTIONAL:
        lists = batch.column(name).to_pylist()
        nulls = pa.array([[None] * len(values) for values in lists], batch.schema.field(name).type)
        batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), nulls)
    return ListeningData.from_batches([batch], [track_batch()])


def asked(data: ListeningData) -> Requests:
    context, now = moment_of(data, data.offsets[1:] - 1)
    return replace(requests_of(data), context=context, now=now)


SEGMENTS = ("device", "country", "weather", "temperature")
SPARK = ("als", "als_recent")


def small_baselines() -> BaselineConfig:
    """Every model by name, small enough to be fit twice in a moment."""
    als = AlsConfig(rank=6, iterations=3, half_life=None, blocks=1)
    ncf = NcfConfig(dim=8, layers=(8, 4), epochs=1, min_steps=20, batch_size=64, history=10)
    return replace(
        BaselineConfig(),
        ease=EaseConfig(20.0),
        ease_recent=EaseConfig(20.0, half_life=3.0),
        als=als,
        als_recent=replace(als, half_life=3.0),
        gmf=replace(ncf, kind="gmf"),
        mlp=replace(ncf, kind="mlp"),
        neumf=ncf,
    )


@pytest.fixture(scope="module")
def make(small_config):
    small, baselines = replace(small_config, epochs=1, min_steps=20), small_baselines()
    return {
        **{name: lambda name=name: make_baseline(name, baselines)[0] for name in NAMES},
        **{f"popularity_{s}": lambda s=s: Popularity(PopularityConfig(segment=s)) for s in SEGMENTS},
        "two_tower": lambda: TwoTower(small),
    }


CASES = [
    *(pytest.param(name, marks=[pytest.mark.spark] if name in SPARK else []) for name in NAMES),
    *(f"popularity_{segment}" for segment in SEGMENTS),
    "two_tower",
]


@pytest.mark.parametrize("name", CASES)
def test_absent_fields_change_nothing(make, name, without_columns, with_nulls, request):
    if name in SPARK:
        request.getfixturevalue("spark")
    lean, whole = make[name]().fit(without_columns), make[name]().fit(with_nulls)
    requests = asked(with_nulls)
    assert {requests.context[field][0] for field in OPTIONAL.values()} == {None}
    bare = replace(requests, context={k: v for k, v in requests.context.items() if k not in OPTIONAL.values()})
    expected = lean.recommend(bare, 20)
    strange = replace(requests, context={**requests.context, "weather": ["hail"] * len(requests)})
    for question in (requests, bare, strange):
        ids, scores = whole.recommend(question, 20)
        np.testing.assert_allclose(scores, expected[1], atol=1e-4)
        assert (ids == expected[0]).mean() > 0.99


def test_the_data_are_the_same(without_columns, with_nulls):
    assert with_nulls.context_fields == without_columns.context_fields
    np.testing.assert_array_equal(with_nulls.context, without_columns.context)
