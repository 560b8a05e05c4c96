"""A sequential model with weights as they fall, over as many tracks as are asked: nothing has to be trained."""

from __future__ import annotations

import numpy as np

from models.recommend.sequence.config import GRU4RecConfig
from models.recommend.sequence.followers import FollowerTables
from models.recommend.sequence.network import Network
from models.recommend.sequence.scorer import SequenceScorer

CONFIG = GRU4RecConfig(dim=8, history=12, overlap=2, successors=4, seed=3)


def sequence(tracks: int, config: GRU4RecConfig = CONFIG) -> SequenceScorer:
    rng, network = np.random.default_rng(0), Network(config, clock=False)
    shape = (2, 1, tracks, config.successors)
    tables = FollowerTables(rng.integers(-1, tracks, shape).astype(np.int32), rng.random(shape))
    rows, bias = rng.normal(size=(tracks, config.dim)), rng.normal(size=tracks)
    return SequenceScorer(network, rows, bias, np.arange(tracks) % 5, np.arange(tracks) % 7, tables)
