from __future__ import annotations

from dataclasses import replace

import pytest


@pytest.fixture(scope="session")
def groundwork(two_stage_config):
    from models.recommend.two_stage.groundwork import Groundwork

    return Groundwork(two_stage_config)


@pytest.fixture(scope="session", params=["trees", "network"])
def two_stage(request, data, two_stage_config, groundwork):
    from models.recommend.two_stage.two_stage import TwoStage

    return TwoStage(replace(two_stage_config, ranker=request.param), groundwork=groundwork).fit(data)
