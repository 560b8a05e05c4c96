"""An API over a real model server, a real LMDB store and a small lake of this test's own."""

from __future__ import annotations

import pytest
from online_api import HISTORY, running, write_catalogue, write_listener


@pytest.fixture
def lake_settings(settings):
    """A lake with names of tracks, and a store that knows `ann` (two plays) and `new` (none)."""
    write_catalogue(settings)
    write_listener(settings, "ann", HISTORY)
    write_listener(settings, "new", [])
    return settings


@pytest.fixture
def served(world, lake_settings):
    """The tiny model, version 1, labelled stable; -> settings that name it."""
    patient = {"api_model_timeout_ms": 5000}  # a machine that runs other tests too may take its time
    more = {"model_name": world.name, "api_artist_cap": 0, "api_cache_seconds": 0, **patient}
    settings = lake_settings.model_copy(update=more)
    world.add(world.name, 1, 2)
    world.client.reload(world.model(world.name, 1, labels={"stable": 1}))
    world.client.wait_available(world.name, 1)
    return settings


@pytest.fixture
def api(world, served):
    """A client of the API over the tiny model."""
    with running(served, world.server.address) as client:
        yield client
