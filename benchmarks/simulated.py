"""Models fit on the earlier plays of the lake of the settings, for benchmarks that ask them about the later ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.evaluation.split import HoldOut
    from models.recommend.base import CatalogueRecommender

HELD_OUT, MOMENTS = 0.1, 2000


def fitted(*names: str) -> tuple[list[CatalogueRecommender], HoldOut]:
    """Models of the line-up by name, and what was held out (a tenth of the plays, by time).

    Two-stage recommenders learn from ``MOMENTS`` moments a task and cut, so that they are fit in minutes.
    """
    from dataclasses import replace

    from lakehouse.settings import get_settings
    from models.evaluation.split import split
    from models.lake_data import load
    from models.lineup import LineupConfig, entry
    from models.recommend.two_stage.groundwork import Groundwork

    data, _ = load(get_settings())
    train, hold_out = split(data, HELD_OUT)
    config = LineupConfig()
    config = replace(config, two_stage=config.two_stage.with_moments(MOMENTS))
    groundwork, models = Groundwork(config.two_stage), []
    for name in names:
        model = entry(name, config, groundwork=groundwork).make()
        models.append(model.fit(train, lambda told, n=name: print(n, dict(told), file=sys.stderr, flush=True)))
    return models, hold_out
