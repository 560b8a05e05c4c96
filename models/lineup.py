"""The models of one training, by name: each with its settings, made anew for every fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from models import baselines
from models.baselines import BaselineConfig
from models.evaluation.split import HoldOut
from models.recommend.base import CatalogueRecommender
from models.recommend.config import TwoTowerConfig
from models.recommend.sequence.config import GRU4RecConfig, TransformerConfig
from models.recommend.two_stage.config import TwoStageConfig
from models.recommend.two_stage.groundwork import Groundwork

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RIVALS = {"two_stage": "trees", "two_stage_student": "student", "two_stage_network": "network"}
"""The two-stage recommenders by what orders their candidates: the best one is registered for listeners."""
FAST, WORTH = "two_stage_student", 0.005
"""The rival that answers in a fraction of the time ships instead where it is at most this share below the best."""
QUICK = (*baselines.SIDE_BY_SIDE, "transitions_own", "item_knn", "two_tower", *RIVALS)
"""Fit in minutes; the default."""
SEQUENTIAL = ("gru4rec", "transformer")
NEURAL = ("two_tower", *SEQUENTIAL)
NAMES = (*baselines.NAMES, *NEURAL, *RIVALS)


@dataclass(frozen=True)
class LineupConfig:
    """names: which models; the rest are settings of each."""

    names: tuple[str, ...] = QUICK
    baselines: BaselineConfig = field(default_factory=BaselineConfig)
    two_tower: TwoTowerConfig = field(default_factory=TwoTowerConfig)
    gru4rec: GRU4RecConfig = field(default_factory=GRU4RecConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    two_stage: TwoStageConfig = field(default_factory=TwoStageConfig)

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in NAMES]
        if unknown:
            raise ValueError(f"train_models: {', '.join(unknown)} is not known; there are {', '.join(NAMES)}")
        if not set(RIVALS) & set(self.names):
            raise ValueError(f"train_models: one of {', '.join(RIVALS)} is missing, of which listeners get the better")

    def seeded(self, seed: int) -> LineupConfig:
        return replace(self, two_tower=replace(self.two_tower, seed=seed), two_stage=replace(self.two_stage, seed=seed))


@dataclass(frozen=True)
class Entry:
    """One model: how it is made, and its parameters as they are logged."""

    name: str
    make: Callable[[], CatalogueRecommender]
    params: Mapping[str, Any]


def entries(config: LineupConfig, validation: HoldOut | None = None, spark: SparkSession | None = None) -> list[Entry]:
    """In the order of ``config.names``, the rivals last. ``validation``: for learning curves only."""
    ordered = sorted(config.names, key=RIVALS.__contains__)
    groundwork = Groundwork(config.two_stage)
    return [entry(name, config, validation, spark, groundwork) for name in ordered]


def entry(
    name: str,
    config: LineupConfig,
    validation: HoldOut | None = None,
    spark: SparkSession | None = None,
    groundwork: Groundwork | None = None,
) -> Entry:
    """One model by name; raises ValueError where there is none of it. ``groundwork``: see ``TwoStage``."""
    if name == "two_tower":
        return Entry(name, lambda: _two_tower(config, validation), config.two_tower.params())
    if name in SEQUENTIAL:
        return Entry(name, lambda: _sequential(name, config), getattr(config, name).params())
    if name in RIVALS:
        settings = replace(config.two_stage, ranker=RIVALS[name])
        return Entry(name, lambda: _two_stage(settings, spark, groundwork), settings.params())
    _, params = baselines.make(name, config.baselines)
    return Entry(name, lambda: baselines.make(name, config.baselines)[0], params)


def _two_tower(config: LineupConfig, validation: HoldOut | None) -> CatalogueRecommender:
    from models.recommend.two_tower import TwoTower

    return TwoTower(config.two_tower, validation)


def _sequential(name: str, config: LineupConfig) -> CatalogueRecommender:
    from models.recommend.sequence.recommenders import GRU4Rec, Transformer

    return {"gru4rec": GRU4Rec, "transformer": Transformer}[name](getattr(config, name))


def _two_stage(config: TwoStageConfig, spark, groundwork) -> CatalogueRecommender:
    from models.recommend.two_stage.two_stage import TwoStage

    return TwoStage(config, spark, groundwork)
