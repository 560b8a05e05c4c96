from __future__ import annotations

import numpy as np
import pytest
from cold_worlds import planted, tracks_of_genres

from models.data import ListeningData
from models.evaluation import cold
from models.recommend.base import Requests
from models.recommend.cold_start.factors import ContentFactors, FactorsConfig
from models.recommend.cold_start.simple import RandomOrder
from models.recommend.interactions import user_item_matrix

CONFIG = FactorsConfig(rank=8, iterations=4)


def test_the_loss_falls_with_every_turn(world):
    """Alternating exact minimisation: the objective of the plain model never rises."""
    config = FactorsConfig(rank=4, iterations=1, content=False)
    matrix = user_item_matrix(world)
    played = matrix.toarray()

    def objective(turns: int) -> float:
        model = ContentFactors(FactorsConfig(rank=4, iterations=turns, content=False)).fit(world)
        users = model._solved(model.vectors, matrix)
        missed = (played - users @ model.vectors.T) ** 2
        squares = (users**2).sum() + (model.vectors**2).sum()
        return float((missed * np.where(played > 0, 1 + config.alpha, 1)).sum() + config.regularization * squares)

    losses = [objective(turns) for turns in (1, 2, 4)]
    assert losses[0] > losses[1] > losses[2]


def test_new_tracks_have_vectors_that_rank_them(world, names):
    asked = cold.new_tracks(world, share=0.15, held_out=0.3)
    model = ContentFactors(CONFIG, names).fit(asked.train)
    assert np.abs(model.vectors[asked.new]).sum(1).min() > 0
    judged = cold.judge_tracks([RandomOrder().fit(asked.train), model], asked)
    assert cold.differences(judged, model.name)[cold.AMONG, "random"].lo > 0.1


def test_with_nobody_to_listen_the_target_is_the_source_and_with_many_it_moves_away(world):
    source = ContentFactors(CONFIG).fit(world)
    few = world.keep(world.user_of_play < 1)
    near = ContentFactors(CONFIG, source=source).fit(few)
    untouched = few.plays == 0
    assert np.allclose(near.vectors[untouched], source.vectors[untouched])
    far = near.refit(planted(seed=5))
    assert near.name == far.name == "factors_content_transferred"
    assert np.abs(far.vectors - source.vectors).mean() > 2 * np.abs(near.vectors - source.vectors).mean()


def test_another_catalogue_is_refused(world, data):
    source = ContentFactors(CONFIG).fit(world)
    with pytest.raises(ValueError, match="transfer: factors_content knows 160 tracks"):
        ContentFactors(CONFIG, source=source).fit(data)


def test_without_content_or_plays_it_answers_by_popularity(plain_data):
    model = ContentFactors(FactorsConfig(rank=4, iterations=2)).fit(plain_data)
    ids, _ = model.recommend(Requests.of([[]]), 5)
    top = plain_data.catalogue.vocabulary.lookup(ids[0].tolist())
    assert plain_data.listeners[top].min() >= np.sort(plain_data.listeners)[-5]


@pytest.mark.parametrize("name", ["rank", "iterations", "regularization", "alpha"])
def test_settings_out_of_range_are_named(name):
    with pytest.raises(ValueError, match=f"FactorsConfig.{name}"):
        FactorsConfig(**{name: 0})


def test_tracks_that_only_the_source_plays_keep_what_it_says(world):
    """The catalogue is shared: the target meets them through the source."""
    half = world.keep(world.items % 2 == 0)
    source = ContentFactors(CONFIG).fit(world)
    target = ContentFactors(CONFIG, source=source).fit(half)
    odd = np.arange(world.n_tracks) % 2 == 1
    assert np.array_equal(target.vectors[odd], source.vectors[odd])
    assert isinstance(half, ListeningData) and len(tracks_of_genres()) == world.n_tracks
