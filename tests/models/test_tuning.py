"""Tuning: finds what was planted, within its budget, on the validation tail alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from models.evaluation.split import split
from models.recommend.base import CatalogueRecommender
from models.recommend.space import Choice, Real, Whole
from models.recommend.transitions import TransitionConfig, Transitions
from models.tuning import Budget, tune


@dataclass(frozen=True)
class PlantedConfig:
    noise: float = 0.9
    right: str = "no"
    untouched: int = 7


@dataclass
class Log:
    fits: list = field(default_factory=list)


SPACE = {"noise": Real(0.0, 1.0), "right": Choice(("no", "yes"))}


class Planted(CatalogueRecommender):
    """Transitions hidden under noise: best where there is none and ``right`` says yes."""

    name = "planted"

    def __init__(self, config: PlantedConfig, log: Log):
        super().__init__()
        self.config, self.log = config, log

    def fit(self, data, progress=None):
        self._learn(data)
        self.log.fits.append(data)
        self._model = Transitions(TransitionConfig()).fit(data)
        return self

    def scores(self, queries):
        scores = self._model.scores(queries)
        rng = np.random.default_rng(0)
        sign = 1 if self.config.right == "yes" else -1
        return sign * scores + self.config.noise * rng.random(scores.shape)


def run(data, log: Log | None = None, **kwargs):
    log = log or Log()
    options = {"budget": Budget(trials=25, seconds=60), "seed": 1, "objective": "next_ndcg_at_10"} | kwargs
    return tune(lambda config: Planted(config, log), PlantedConfig(), SPACE, data, **options)


@pytest.fixture(scope="module")
def tuned(plain_data):
    log = Log()
    return run(plain_data, log), log


def test_the_planted_optimum_is_found(tuned):
    result, _ = tuned
    assert result.config.right == "yes"
    assert result.config.noise < 0.25
    assert result.config.untouched == 7
    assert result.value == max(t.value for t in result.trials) > result.trials[0].value


def test_the_start_is_tried_first_and_the_number_of_trials_is_bounded(tuned):
    result, log = tuned
    assert result.trials[0].params == {"noise": 0.9, "right": "no"}
    assert len(result.trials) == len(log.fits) == 25


def test_trials_see_the_earlier_part_of_the_training_data_only(plain_data):
    outer, _ = split(plain_data)
    log = Log()
    run(outer, log, budget=Budget(trials=3))
    inner, tail = split(outer)
    for fit in log.fits:
        np.testing.assert_array_equal(fit.items, inner.items)
        np.testing.assert_array_equal(fit.offsets, inner.offsets)
    assert inner.n_plays + sum(len(t) for t in tail.truths) == outer.n_plays < plain_data.n_plays


def test_the_same_seed_tries_the_same(plain_data, tuned):
    again = run(plain_data)
    assert [t.params for t in again.trials] == [t.params for t in tuned[0].trials]
    other = run(plain_data, seed=2, budget=Budget(trials=3))
    assert other.trials[1].params != again.trials[1].params


def test_no_trial_begins_after_the_seconds(plain_data):
    result = run(plain_data, budget=Budget(trials=10_000, seconds=0.3))
    assert 1 <= len(result.trials) < 500


def test_an_objective_may_weigh_several_metrics(plain_data):
    weights = {"next_ndcg_at_10": 2.0, "discover_ndcg_at_10": 1.0}
    result = run(plain_data, objective=weights, budget=Budget(trials=2))
    for trial in result.trials:
        assert trial.value == pytest.approx(2 * trial.metrics["next_ndcg_at_10"] + trial.metrics["discover_ndcg_at_10"])


def test_each_trial_is_a_nested_run_where_one_is_active(plain_data, tmp_path):
    import mlflow

    from models.tracking import connect

    experiment = connect(f"sqlite:///{tmp_path}/mlflow.db", "tuning")
    with mlflow.start_run(experiment_id=experiment) as parent:
        result = run(plain_data, budget=Budget(trials=3))
    client = mlflow.MlflowClient()
    nested = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert len(nested) == 3
    assert {r.data.tags["tuning"] for r in nested} == {"planted"}
    assert sorted(r.data.metrics["objective"] for r in nested) == pytest.approx(sorted(t.value for t in result.trials))
    assert {float(r.data.params["noise"]) for r in nested} == {t.params["noise"] for t in result.trials}


@pytest.mark.parametrize(
    ("space", "objective", "message"),
    [
        (
            {"noize": Real(0, 1)},
            "next_ndcg_at_10",
            "has no field 'noize'; it has noise, right, untouched",
        ),
        ({"untouched": Whole(1, 3)}, "next_ndcg_at_10", "PlantedConfig.untouched is 7, outside Whole"),
        (SPACE, "accuracy", "objective: no metric is called 'accuracy'; there are discover_coverage_at_10"),
    ],
)
def test_what_cannot_be_searched_is_refused(plain_data, space, objective, message):
    with pytest.raises(ValueError, match=message):
        tune(lambda c: Planted(c, Log()), PlantedConfig(), space, plain_data, objective, Budget(trials=1))


def test_a_budget_is_above_nothing():
    with pytest.raises(ValueError, match="Budget.trials: 0 must be above 0"):
        Budget(trials=0)
