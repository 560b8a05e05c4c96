from __future__ import annotations

import pytest
from cold_worlds import planted, tracks_of_genres

from models.recommend.cold_start.content import TrackNames


@pytest.fixture(scope="session")
def world():
    return planted()


@pytest.fixture(scope="session")
def names(world):
    return TrackNames.from_batches(world.catalogue, [tracks_of_genres()])
