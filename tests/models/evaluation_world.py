"""Baselines of the small listening world, judged once and shared by the tests of what is made of evaluations."""

from __future__ import annotations

from models.baselines import SIDE_BY_SIDE, make
from models.evaluation.metrics import evaluate


def judged(train, held, names=SIDE_BY_SIDE):
    return [evaluate(make(name)[0].fit(train), held, name) for name in names]
