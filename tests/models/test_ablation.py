"""The ablation on a world in which one field says which track comes next, and another says the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from context_world import sequence_batch_with_context
from listening_world import track_batch

from models.context import FIELDS, UNKNOWN
from models.data import ListeningData
from models.evaluation.ablation import ALL, GROUPS, NONE, ablate, hide, hide_asked
from models.evaluation.metrics import evaluate
from models.evaluation.split import split
from models.recommend.base import CatalogueRecommender, Queries

METRIC = "next_ndcg_at_10"
FIELD = {"device": 40, "network": 40}
"""Fields that say the next track in the planted world, and how many tracks they tell apart."""


class ByCategory(CatalogueRecommender):
    """Counts of tracks by the value of every field that is known, added up."""

    name = "by category"

    def __init__(self, seed: int = 0):
        super().__init__()
        self._seed = seed

    def fit(self, data: ListeningData, progress=None) -> ByCategory:
        self._learn(data)
        self._counts = []
        for place, size in enumerate(data.context_fields.sizes):
            table = np.zeros((size + 1, data.n_tracks))
            np.add.at(table, (data.context[:, place], data.items), 1)
            table[-1] = 0  # unknown says nothing
            self._counts.append(table / np.maximum(table.sum(1, keepdims=True), 1))
        self._prior = data.plays / data.n_plays + 1e-6 * np.random.default_rng(self._seed).random(data.n_tracks)
        return self

    def scores(self, queries: Queries) -> np.ndarray:
        told = sum(table[queries.context[:, place]] for place, table in enumerate(self._counts))
        return self._prior[None, :] + told


@pytest.fixture(scope="module")
def parts():
    """Device and network both are the track's number modulo 40; weather is noise."""
    data = ListeningData.from_batches([sequence_batch_with_context()], [track_batch()])
    words = tuple(str(i) for i in range(40))
    names = dict(data.context_fields.names) | {"device": words, "network": words}
    context = data.context.copy()
    for name in FIELD:
        context[:, FIELDS.index(name)] = data.items % 40
    fields = replace(data.context_fields, names=names)
    return split(replace(data, context=context, context_fields=fields))


def fit(data: ListeningData, seed: int) -> ByCategory:
    return ByCategory(seed).fit(data)


def test_a_field_that_tells_adds_and_its_double_adds_nothing_last(parts):
    told = []
    found = ablate(fit, *parts, metrics=(METRIC,), progress=told.append)
    assert told == [NONE, *(f"only {g}" for g in GROUPS), ALL, *(f"all but {g}" for g in GROUPS)]
    for group in FIELD:
        assert found.alone[group, METRIC].lo > 0
        assert found.last[group, METRIC].value < 0.5 * found.alone[group, METRIC].value
    assert found.alone[ALL, METRIC].lo > 0
    joint = ablate(fit, *parts, groups={"both": tuple(FIELD), "weather": ("weather",)}, metrics=(METRIC,))
    assert joint.last["both", METRIC].lo > 0
    assert abs(joint.alone["weather", METRIC].value) < 0.1 * joint.alone["both", METRIC].value


def test_values_are_those_of_models_fit_by_hand(parts):
    train, held = parts
    found = ablate(fit, train, held, {"device": ("device",)}, (METRIC,), last=False)
    others = [name for name in FIELDS if name != "device"]
    for variant, hidden in ((NONE, FIELDS), ("only device", others), (ALL, others)):
        by_hand = evaluate(fit(hide(train, hidden), 0), hide_asked(held, hidden)).metrics[METRIC]
        assert found.values[variant, METRIC].value == pytest.approx(by_hand.value)
    difference = found.values["only device", METRIC].value - found.values[NONE, METRIC].value
    assert found.alone["device", METRIC].value == pytest.approx(difference)
    assert found.last == {}


def test_hidden_fields_are_unknown_everywhere(parts):
    train, held = parts
    hidden = hide(train, ("hour", "month"))
    assert (hidden.of_context("hour") == UNKNOWN).all()
    assert (hidden.of_context("device") == train.of_context("device")).all()
    assert (train.of_context("hour") >= 0).any(), "the data given stay as they are"
    model = fit(train, 0)
    queries = model.queries(hide_asked(held, ("month",)).requests("next"))
    assert (queries.of_context("month") == UNKNOWN).all(), "not told by the time of the request either"
    assert (model.queries(held.requests("next")).of_context("month") >= 0).all()


def test_seeds_are_averaged_listener_by_listener(parts):
    each = [ablate(fit, *parts, {"device": ("device",)}, (METRIC,), (seed,), last=False) for seed in (1, 2)]
    both = ablate(fit, *parts, {"device": ("device",)}, (METRIC,), (1, 2), last=False)
    expected = np.mean([one.alone["device", METRIC].value for one in each])
    assert both.alone["device", METRIC].value == pytest.approx(expected)
    assert "the mean of 2 fits" in both.markdown()


def test_a_judge_of_ones_own_is_asked(parts):
    def judge(model, hold_out):
        known = model.queries(hold_out.requests("next")).context >= 0
        return {"fields": known.sum(1).astype(float)}

    found = ablate(fit, *parts, {"device": ("device",), "time": ("hour", "weekday", "month")}, ("fields",), judge=judge)
    assert found.alone["device", "fields"].value == pytest.approx(1)
    assert found.last["time", "fields"].value == pytest.approx(3)
    assert found.alone[ALL, "fields"].value == pytest.approx(4)
    table = found.markdown()
    assert "| none | 0.0000 [0.0000, 0.0000] | | |" in table
    assert "| device | 1.0000 [1.0000, 1.0000] | **+1.0000 [+1.0000, +1.0000]** |" in table
    rows = found.frame().set_index(["group", "added"]).difference
    assert rows["time", "last"] == pytest.approx(3)


def test_mistakes_are_named(parts):
    with pytest.raises(ValueError, match="sound: no field is called 'volume'"):
        ablate(fit, *parts, {"sound": ("volume",)})
    with pytest.raises(ValueError, match="'ndcg' is not judged; there are next_"):
        ablate(fit, *parts, metrics=("ndcg",))
    with pytest.raises(ValueError, match="'all' is the name of a variant"):
        ablate(fit, *parts, {"all": ("device",)})
    with pytest.raises(ValueError, match="seeds: none"):
        ablate(fit, *parts, seeds=())
