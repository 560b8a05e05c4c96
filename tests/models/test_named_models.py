"""The models by name: each can be made, has its configuration, and is tuned within its own space."""

from __future__ import annotations

from dataclasses import fields

import pytest

from models.baselines import KINDS, NAMES, SIDE_BY_SIDE, BaselineConfig, make, tuned
from models.recommend.base import Recommender
from models.tuning import Budget


@pytest.mark.parametrize("name", NAMES)
def test_every_name_makes_the_model_that_says_so(name):
    model, params = make(name)
    assert isinstance(model, Recommender)
    assert model.name == name
    assert set(KINDS[name].space) <= set(params)


@pytest.mark.parametrize("name", NAMES)
def test_tuning_may_begin_at_the_default(name):
    config = getattr(BaselineConfig(), name)
    outside = [field for field, where in KINDS[name].space.items() if getattr(config, field) not in where]
    assert not outside


def test_each_name_has_one_configuration():
    assert {field.name for field in fields(BaselineConfig)} == set(NAMES)
    assert set(SIDE_BY_SIDE) < set(NAMES)


def test_an_unknown_name_lists_the_others():
    with pytest.raises(ValueError, match="no baseline is called 'als2'; there are: popularity, popularity_recent"):
        make("als2")


def test_tuning_by_name_changes_that_model_only(plain_data):
    before = BaselineConfig()
    after = tuned("item_knn", plain_data, before, budget=Budget(trials=3), objective="next_ndcg_at_10")
    for field in fields(BaselineConfig):
        if field.name != "item_knn":
            assert getattr(after, field.name) == getattr(before, field.name)
    space = KINDS["item_knn"].space
    assert all(getattr(after.item_knn, field) in where for field, where in space.items())
