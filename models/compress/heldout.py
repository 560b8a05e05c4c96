"""Held-out plays as moments with their candidates: what compressed rankers are judged on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.data import ListeningData
from models.evaluation.split import HoldOut
from models.recommend.two_stage.config import TwoStageConfig
from models.recommend.two_stage.examples import RankingExamples, ranking_examples
from models.recommend.two_stage.groundwork import traced
from models.recommend.two_stage.moments import Moments


def held_out_moments(
    data: ListeningData,
    train: ListeningData,
    hold_out: HoldOut,
    stage,
    config: TwoStageConfig,
    candidates: int,
    per_user: int = 1,
) -> RankingExamples:
    """The first ``per_user`` held-out plays of each listener, whole histories before them, with so many candidates of
    the first stage, which was counted on ``train`` (a part of ``data``, with the same users and catalogue)."""
    place = {user: at for at, user in enumerate(data.users)}
    users = np.array([place[user] for user in hold_out.users])
    first = data.offsets[users] + np.array([len(history) for history in hold_out.histories])
    plays = (first[:, None] + np.arange(per_user)).ravel()
    users = np.repeat(users, per_user)
    inside = plays < data.offsets[users + 1]
    moments = Moments("next", plays[inside], users[inside])
    before, stage.sources.config = stage.sources.config, replace(stage.sources.config, candidates=candidates)
    try:
        return ranking_examples(
            data, moments, traced(stage, "next", config), candidates, candidates, np.random.default_rng(0),
            history=config.history, ahead=config.ahead, batch_size=32, keep_all=True,
        )  # fmt: skip
    finally:
        stage.sources.config = before
