from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def two_stage(data, two_stage_config):
    from models.recommend.two_stage.two_stage import TwoStage

    return TwoStage(two_stage_config).fit(data)
