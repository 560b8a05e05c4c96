"""Choosing a configuration on the validation tail of the training part, within a budget.

The data given here are split once more by :func:`models.evaluation.split.split`, as they would be to judge a model:
trials fit on the earlier part and are judged on its tail. Give it the training part of a split, and the hold-out stays
unseen. The first trial is the configuration to begin with, so tuning never returns one that did worse on the tail.

The search is Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), seeded: the same data, space, seed and
number of trials give the same choice. A limit in seconds stops new trials, and may cut at another one on another day.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

from models.data import ListeningData
from models.evaluation.metrics import PRIMARY, evaluate
from models.evaluation.split import HELD_OUT, split
from models.recommend.base import CatalogueRecommender
from models.recommend.space import Space

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """trials: fits at the most; seconds: no trial begins after them; users: of the tail that a trial is judged on,
    drawn once by the seed, None for all."""

    trials: int = 30
    seconds: float = 900.0
    users: int | None = None

    def __post_init__(self) -> None:
        for name in ("trials", "seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Budget.{name}: {getattr(self, name)} must be above 0")


@dataclass(frozen=True)
class Trial:
    """One configuration tried: the fields that were searched, its objective, all metrics, seconds to fit and judge."""

    params: Mapping[str, Any]
    value: float
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Tuned:
    """config: the best one; value: its objective; trials: all of them in order, the first being the start."""

    config: Any
    value: float
    trials: Sequence[Trial]
    description: str


def tune(
    make: Callable[[Any], CatalogueRecommender],
    start: Any,
    space: Space,
    data: ListeningData,
    objective: str | Mapping[str, float] = PRIMARY,
    budget: Budget | None = None,
    seed: int = 0,
    held_out: float = HELD_OUT,
) -> Tuned:
    """The best configuration found for ``make(config)`` on the tail of ``data``, which is training data only.

    start: a frozen dataclass, tried first; space: its fields to search. objective: a metric of
    :func:`models.evaluation.metrics.evaluate` to maximise, or weights of several. Within an active MLflow run each
    trial is a nested run with the tag ``tuning``.

    Raises ValueError for a field that ``start`` lacks or has outside its range, and for an unknown metric.
    """
    import optuna

    _check(start, space)
    budget, weights = budget or Budget(), {objective: 1.0} if isinstance(objective, str) else dict(objective)
    train, tail = split(data, held_out)
    if budget.users is not None:
        tail = tail.sample(budget.users, seed)
    trials: list[Trial] = []

    def attempt(trial: optuna.Trial) -> float:
        params = {name: where.suggest(trial, name) for name, where in space.items()}
        model, began = make(replace(start, **params)), time.monotonic()
        with _nested_run(model.name, len(trials)) as run:
            judged = evaluate(model.fit(train), tail, intervals=False)
            metrics = {name: m.value for name, m in judged.metrics.items()}
            value = sum(weight * _metric(metrics, name) for name, weight in weights.items())
            trials.append(Trial(params, value, metrics, time.monotonic() - began))
            if run is not None:
                _log(trials[-1])
        log.info("%s, trial %d: %.4f with %s", model.name, len(trials), value, params)
        return value

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would print every trial itself
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({name: getattr(start, name) for name in space}, skip_if_exists=True)
    study.optimize(attempt, n_trials=budget.trials, timeout=budget.seconds)
    best = max(trials, key=lambda t: t.value)  # the earliest of equals
    return Tuned(replace(start, **best.params), best.value, trials, tail.description)


def _check(start: Any, space: Space) -> None:
    kind, known = type(start).__name__, {field.name for field in fields(start)}
    for name, where in space.items():
        if name not in known:
            raise ValueError(f"space: {kind} has no field {name!r}; it has {', '.join(sorted(known))}")
        if getattr(start, name) not in where:
            raise ValueError(
                f"start: {kind}.{name} is {getattr(start, name)!r}, outside {where}; begin inside, or search without it"
            )


def _metric(metrics: Mapping[str, float], name: str) -> float:
    if name not in metrics:
        raise ValueError(f"objective: no metric is called {name!r}; there are {', '.join(sorted(metrics))}")
    return metrics[name]


def _nested_run(model: str, number: int):
    """A run below the active one, or nothing where none is active."""
    import mlflow

    parent = mlflow.active_run()
    if parent is None:
        return nullcontext()
    return mlflow.start_run(
        experiment_id=parent.info.experiment_id,
        run_name=f"{model} trial {number}",
        nested=True,
        tags={"tuning": model, "model": model},
    )


def _log(trial: Trial) -> None:
    import mlflow

    mlflow.log_params(dict(trial.params))
    mlflow.log_metrics({**trial.metrics, "objective": trial.value, "trial_seconds": trial.seconds})
