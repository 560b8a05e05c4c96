from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.data import UNKNOWN
from models.evaluation.metrics import PRIMARY, evaluate
from models.evaluation.split import split
from models.recommend.base import Queries, Recommender, Requests
from models.recommend.config import TwoTowerConfig
from models.recommend.examples import ExampleSampler, NegativeSampler
from models.recommend.popularity import Popularity
from models.recommend.two_tower import TwoTower


@pytest.fixture(scope="module")
def sampler(data, small_config):
    return ExampleSampler(data, replace(small_config, history=7, window=4, history_dropout=0.0, empty_share=0.0))


def test_examples_are_the_plays_around_a_position(data, sampler):
    user = 4
    position = int(data.offsets[user] + 5)
    batch = sampler.batch(np.array([position]), np.random.default_rng(0))
    plays = data.history(user)
    assert batch.history[0].tolist() == [*plays[:5][::-1], UNKNOWN, UNKNOWN]
    assert batch.targets[0].tolist() == plays[5:9].tolist()
    assert batch.hours[0] == data.of_context("hour")[position]


def test_only_new_tracks_are_targets_and_near_ones_count_more(data, sampler):
    batches = list(sampler.epoch(np.random.default_rng(1)))
    assert batches
    for batch in batches:
        known = (batch.targets[:, :, None] == batch.history[:, None, :]).any(2) & (batch.targets >= 0)
        np.testing.assert_allclose(batch.weights.sum(1), 1, rtol=1e-5)
        assert (batch.weights[batch.targets < 0] == 0).all()
        assert (batch.weights[known] == 0).all()
        weights = [row[row > 0] for row in batch.weights]
        assert all((np.diff(row) < 0).all() for row in weights)


def test_an_epoch_draws_about_as_many_of_every_user(data, small_config):
    config = replace(small_config, examples_per_user=5)
    sampler = ExampleSampler(data, config)
    drawn = sum(len(b.targets) for b in sampler.epoch(np.random.default_rng(0)))
    assert 0.7 * len(sampler) < drawn < 1.3 * len(sampler)
    assert len(sampler) <= 5 * data.n_users


def test_nothing_new_to_predict_is_an_error(data, small_config):
    with pytest.raises(ValueError, match="nothing to learn from"):
        ExampleSampler(data.keep(np.zeros(data.n_plays, bool)), small_config)


def test_negatives_cover_the_catalogue_when_it_is_small():
    sampler = NegativeSampler(np.arange(50), expected=100, power=0.5)
    assert sampler.draw(np.random.default_rng(0)).tolist() == list(range(50))
    assert (sampler.log_chance == 0).all()


def test_negatives_are_drawn_as_often_as_their_correction_says():
    plays = np.array([0, 1, 10, 100, 1000, 5000])
    sampler, rng = NegativeSampler(plays, expected=2, power=0.5), np.random.default_rng(0)
    counts = np.zeros(6)
    for _ in range(4000):
        counts[sampler.draw(rng)] += 1
    np.testing.assert_allclose(counts[3:] / 4000, np.exp(sampler.log_chance)[3:], atol=0.04)
    assert np.exp(sampler.log_chance).sum() == pytest.approx(2, abs=0.01)


def test_sampled_softmax_is_the_full_one_on_average(data, small_config):
    """The log-Q correction: averaged over draws, the normaliser is that of the whole catalogue."""
    import tensorflow as tf

    from models.recommend.towers import ItemTower, UserTower
    from models.recommend.trainer import Trainer

    config = replace(small_config, init_scale=0.1)
    items, user = (
        ItemTower(data.catalogue, data.plays, config),
        UserTower(len(data.context_fields.names["device"]), config),
    )
    batch = next(ExampleSampler(data, config).epoch(np.random.default_rng(0)))
    batch = type(batch)(*map(tf.constant, batch))
    losses = {}
    for expected in (10_000, 60):
        sampler = NegativeSampler(data.plays, expected, 0.5)
        trainer, rng = Trainer(items, user, sampler.log_chance, 1, config), np.random.default_rng(1)
        draws = 60 if expected == 60 else 1
        losses[expected] = np.mean([float(trainer.loss(batch, sampler.draw(rng))) for _ in range(draws)])
    assert losses[60] == pytest.approx(losses[10_000], rel=0.03)


@pytest.mark.parametrize("world", ["data", "plain_data"])
def test_learns_with_all_attributes_and_with_none(request, world, small_config):
    train, held = split(request.getfixturevalue(world))
    reports = []
    model = TwoTower(replace(small_config, min_steps=150), validation=held).fit(train, reports.append)
    assert isinstance(model, Recommender)
    assert [r["epoch"] for r in reports] == [1, 2]
    assert reports[-1]["loss"] < reports[0]["loss"]
    assert {"examples_per_second", "seconds", PRIMARY} <= set(reports[0])
    ours = evaluate(model, held, intervals=False).metrics[PRIMARY].value
    floor = evaluate(Popularity().fit(train), held, intervals=False).metrics[PRIMARY].value
    assert ours > 2 * floor
    assert ours == pytest.approx(reports[-1][PRIMARY]), "the last validation is of the finished model"


def test_the_towers_learn_without_the_memory(plain_data, small_config):
    train, held = split(plain_data)
    model = TwoTower(replace(small_config, memory_neighbours=0, min_steps=300, learning_rate=0.01)).fit(train)
    floor = evaluate(Popularity().fit(train), held, intervals=False).metrics[PRIMARY].value
    assert evaluate(model, held, intervals=False).metrics[PRIMARY].value > 2 * floor


def test_the_same_seed_gives_the_same_model(data, small_config):
    config = replace(small_config, epochs=1, min_steps=5)
    answers = [TwoTower(c).fit(data).recommend(Requests.of(data.histories([0, 1])), 10) for c in (config, config)]
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-4)
    other = TwoTower(replace(config, seed=1)).fit(data).recommend(Requests.of(data.histories([0, 1])), 10)
    assert np.abs(other[1] - answers[0][1]).max() > 1e-3


def test_an_empty_history_gets_an_answer_near_popularity(trained, data):
    ids, scores = trained.recommend(Requests.of([[]]), 20)
    assert (ids != "").all()
    assert np.isfinite(scores).all()
    listened = data.listeners[data.catalogue.vocabulary.lookup(ids[0])]
    assert np.median(listened) > np.median(data.listeners)


def test_tracks_without_plays_stand_where_their_attributes_put_them(data, plain_data, small_config):
    from models.recommend.towers import ItemTower

    unplayed = np.flatnonzero(data.plays == 0)
    assert len(unplayed)
    towers = [ItemTower(d.catalogue, d.plays, small_config).matrix("candidate").numpy() for d in (data, plain_data)]
    assert np.abs(towers[0][unplayed]).min(1).max() > 0
    assert (towers[1][unplayed] == 0).all(), "nothing is known of them, and an untrained embedding would be noise"


def test_order_matters_and_old_plays_matter_less(trained, data):
    history = data.history(3)
    scores = trained.scores(Queries.of([history, history[::-1]]))
    assert np.abs(scores[0] - scores[1]).max() > 1e-3
    other = (history[-1:] + 20) % 150
    changed_new = np.concatenate([history[:-1], other])
    changed_old = np.concatenate([other, history[1:]])
    base, new, old = trained.scores(Queries.of([history, changed_new, changed_old]))
    assert np.abs(new - base).mean() > np.abs(old - base).mean()


def test_context_counts_only_where_it_is_known(trained, data):
    asked = Requests.of(data.histories([0] * 4), hour=[-1, 20, None, -1], device=["", None, "phone", "toaster"])
    base, hour, device, strange = trained.scores(trained.queries(asked))
    assert np.abs(hour - base).max() > 0
    assert np.abs(device - base).max() > 0
    np.testing.assert_allclose(strange, base, atol=1e-5)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="TwoTowerConfig.epochs: 0 must be at least 1"):
        TwoTowerConfig(epochs=0)
    with pytest.raises(ValueError, match="TwoTowerConfig.history_dropout"):
        TwoTowerConfig(history_dropout=1.0)


def test_a_loss_that_is_no_number_stops_training(data, small_config):
    with pytest.raises(FloatingPointError, match="lower TwoTowerConfig.learning_rate"):
        TwoTower(replace(small_config, init_scale=float("nan"), epochs=1, min_steps=1)).fit(data)
