from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from activity_world import activity_world

from models.context import FIELDS, UNKNOWN, Categories
from models.context.activity import ActivityClassifier, ActivityConfig, best_temperature, said, softmax
from models.context.activity_report import without_activity
from models.data import ListeningData
from models.recommend.requests import Requests, moment_of

ACTIVITY = FIELDS.index("activity")


@pytest.fixture(scope="module")
def world() -> ListeningData:
    return activity_world()


@pytest.fixture(scope="module")
def hidden(world) -> np.ndarray:
    return np.arange(world.n_users) % 3 == 0


@pytest.fixture(scope="module")
def config() -> ActivityConfig:
    return ActivityConfig(trees=60, min_child_weight=5, threads=1)


@pytest.fixture(scope="module")
def trained(world, hidden, config) -> ActivityClassifier:
    return ActivityClassifier(config).fit(without_activity(world, hidden))


def of_hidden(world, hidden) -> np.ndarray:
    return np.flatnonzero(hidden[world.user_of_play])


def test_listeners_who_never_say_it_are_recognised(world, hidden, trained):
    plays = of_hidden(world, hidden)
    probabilities = trained.probabilities(world, plays)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    labels = world.context[plays, ACTIVITY]
    assert (probabilities.argmax(1) == labels).mean() > 0.75
    surprise = -np.log(probabilities[np.arange(len(plays)), labels]).mean()
    assert surprise < 0.7 * np.log(3), "a third each is what the majority would say"


def test_only_unknown_activities_are_filled_and_only_sure_ones(world, hidden, trained):
    data = without_activity(world, hidden)
    filled = trained.fill(data)
    told = said(data)
    assert (filled.context[told] == data.context[told]).all()
    others = [i for i in range(len(FIELDS)) if i != ACTIVITY]
    assert (filled.context[:, others] == data.context[:, others]).all()
    assert (data.context[:, ACTIVITY] == UNKNOWN).any(), "the data given stay as they are"
    plays = of_hidden(world, hidden)
    sure = trained.probabilities(data, plays).max(1) >= trained.config.confidence
    assert 0 < sure.mean() < 1
    assert ((filled.context[plays, ACTIVITY] >= 0) == sure).all()
    assert trained.fill(world) is world


def test_requests_are_filled_as_plays_are(world, hidden, trained):
    plays = of_hidden(world, hidden)[50:60]
    context, now = moment_of(world, plays)
    starts = world.offsets[world.user_of_play[plays]]
    spans = [slice(a, b) for a, b in zip(starts, plays, strict=True)]
    told = context["activity"][:2]
    context["activity"] = told + [None] * 8
    asked = Requests(
        [world.catalogue.ids[world.items[s]].tolist() for s in spans], times=[world.times[s] for s in spans],
        skipped=[world.skipped[s] for s in spans], now=now, context=context, profile={"plan": ["free"] * 10},
    )  # fmt: skip
    answered = trained.fill_requests(asked, world.catalogue)
    assert answered.context["activity"][:2] == told
    codes = trained.choose(trained.probabilities(world, plays))[2:]
    assert answered.context["activity"][2:] == [None if c < 0 else trained.activities[c] for c in codes]
    assert answered.context["hour"] == context["hour"]
    bare = trained.fill_requests(Requests.of([["track-1"], []]), world.catalogue)
    assert len(bare.context["activity"]) == 2


def test_a_field_that_is_always_absent_costs_nothing(world, hidden, config):
    """The same answers as from a classifier that does not look at weather and temperature at all."""
    data = without_activity(world, hidden)
    fields = tuple(name for name in config.fields if name not in ("weather", "temperature"))
    with_them, without = (ActivityClassifier(c).fit(data) for c in (config, replace(config, fields=fields)))
    plays = of_hidden(world, hidden)
    np.testing.assert_array_equal(with_them.probabilities(data, plays), without.probabilities(data, plays))


def test_a_field_that_tells_the_activity_helps(world, hidden, config):
    context = world.context.copy()
    context[:, FIELDS.index("weather")] = context[:, ACTIVITY] == 1
    data = without_activity(replace(world, context=context), hidden)
    plays = of_hidden(world, hidden)
    labels = world.context[plays, ACTIVITY]
    relax = ActivityClassifier(config).fit(data).probabilities(data, plays)[:, 1]
    assert relax[labels == 1].mean() > 0.95
    assert relax[labels != 1].mean() < 0.05


def test_saved_and_loaded_it_answers_the_same_in_other_codes_too(world, hidden, trained, tmp_path):
    trained.save(tmp_path)
    loaded = ActivityClassifier.load(tmp_path)
    plays = of_hidden(world, hidden)
    np.testing.assert_allclose(loaded.probabilities(world, plays), trained.probabilities(world, plays), atol=1e-6)
    other = Categories.of(FIELDS, device=("tv", "desktop", "phone"), activity=("exercise", "relax", "work"))
    recoded = replace(world, context=other.recode(world.context, world.context_fields), context_fields=other)
    np.testing.assert_allclose(loaded.probabilities(recoded, plays), trained.probabilities(world, plays), atol=1e-6)
    here, there = (loaded.fill(without_activity(d, hidden)) for d in (world, recoded))
    names = [d.context_fields.decode(d.context)["activity"] for d in (here, there)]
    assert names[0] == names[1]
    assert len(loaded.input_names) == loaded._inputs_of_plays(world, plays[:1]).shape[1]


def test_nothing_to_learn_from_is_said(world):
    with pytest.raises(ValueError, match="0 plays name 0 activities"):
        ActivityClassifier().fit(without_activity(world, np.ones(world.n_users, bool)))
    with pytest.raises(ValueError, match="no true clock"):
        ActivityClassifier().fit(replace(world, times=None, clock="synthetic"))
    with pytest.raises(RuntimeError, match="not fitted yet"):
        ActivityClassifier()._answer(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="'mood' is not of"):
        ActivityConfig(fields=("mood",))


def test_temperature_finds_back_what_logits_were_scaled_by():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (20_000, 4))
    labels = np.array([rng.choice(4, p=p / p.sum()) for p in softmax(logits).astype(float)])
    assert best_temperature(logits * 3, labels) == pytest.approx(3, rel=0.05)


def test_the_report_sets_it_beside_the_baselines(world, hidden, trained):
    pytest.importorskip("models.evaluation.calibration")
    from models.context.activity_report import activity_report

    report = activity_report(trained, without_activity(world, hidden), world, of_hidden(world, hidden))
    assert report.differences["majority", "log_loss"].hi < 0
    assert report.differences["hour only", "accuracy"].lo > 0
    value = report.rows.set_index(["model", "slice", "metric"]).value
    assert value["activity", "no play yet", "log_loss"] > value["activity", "3-5 plays", "log_loss"]
    assert value["majority", "all", "log_loss"] == pytest.approx(np.log(3), abs=0.02)
    assert value["activity", "all", "ece"] < 0.1
    assert report.precision.value > report.rows.query("model == 'activity' and metric == 'accuracy'").value.iloc[0]
    assert "| activity | all |" in report.markdown()
