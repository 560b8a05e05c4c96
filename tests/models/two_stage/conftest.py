from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def two_stage_config():
    """Small enough to be fit in seconds."""
    from models.recommend.sequence.config import GRU4RecConfig
    from models.recommend.two_stage.config import TaskConfig, TwoStageConfig
    from models.recommend.two_stage.lambdamart import LambdaMartConfig

    trees = LambdaMartConfig(trees=15, depth=4, min_child_weight=1.0)
    task = TaskConfig(600, 20, 20, trees)
    sequence = GRU4RecConfig(dim=8, history=40, overlap=10, epochs=1, negatives=64)
    return TwoStageConfig(
        history=40, neighbours=20, per_source=30, candidates=60, sequence=sequence, next=task, discover=task
    )


@pytest.fixture(scope="session")
def two_stage(data, two_stage_config):
    from models.recommend.two_stage.two_stage import TwoStage

    return TwoStage(two_stage_config).fit(data)
