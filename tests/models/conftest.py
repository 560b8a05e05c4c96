from __future__ import annotations

import os

import pytest
from listening_world import sequence_batch, track_batch

from models.data import ListeningData

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="session")
def data() -> ListeningData:
    """True clock, all attributes."""
    return ListeningData.from_batches([sequence_batch()], [track_batch()])


@pytest.fixture(scope="session")
def plain_data() -> ListeningData:
    """No clock and no attribute but the track id."""
    return ListeningData.from_batches([sequence_batch(clock="synthetic")], [track_batch(attributes=False)])


@pytest.fixture(scope="session")
def small_config():
    from models.recommend.config import TwoTowerConfig

    return TwoTowerConfig(dim=16, epochs=2, min_steps=40, batch_size=64, memory_neighbours=16)


@pytest.fixture(scope="session")
def trained(data, small_config):
    """A two-tower model fit on everything, shared by the tests that only ask it."""
    from models.recommend.two_tower import TwoTower

    return TwoTower(small_config).fit(data)


@pytest.fixture(scope="session")
def two_stage_config():
    """Small enough to be fit in seconds."""
    from models.recommend.sequence.config import GRU4RecConfig
    from models.recommend.two_stage.config import TaskConfig, TwoStageConfig
    from models.recommend.two_stage.contextual_config import ContextualConfig
    from models.recommend.two_stage.lambdamart import LambdaMartConfig

    trees = LambdaMartConfig(trees=15, depth=4, min_child_weight=1.0)
    task = TaskConfig((0.7,), 600, 20, 20, 0.3, trees)
    sequence = GRU4RecConfig(dim=8, history=40, overlap=10, epochs=1, negatives=64)
    network = ContextualConfig(dim=8, history=20, hidden=(16,), epochs=3, bins=4, learning_rate=5e-3)
    return TwoStageConfig(
        network=network,
        history=40,
        neighbours=20,
        per_source=30,
        candidates=60,
        sequence=sequence,
        next=task,
        discover=task,
    )
