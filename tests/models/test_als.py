"""ALS: the numpy fold-in solves what MLlib solves, and means what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.evaluation.metrics import PRIMARY, evaluate
from models.evaluation.split import split
from models.recommend.als import Als, AlsConfig, ratings
from models.recommend.base import Requests
from models.recommend.popularity import Popularity

SMALL = AlsConfig(rank=6, iterations=8, regularization=0.05, alpha=10.0, half_life=None, blocks=2)


@pytest.fixture(scope="module", params=["binary", "log"])
def fitted(request, spark, data):
    """(our model, MLlib's own user factors by user index) of the same fit."""
    config = replace(SMALL, rating=request.param)
    model = Als(config).fit(data)
    users = model._estimator().fit(ratings(data, config)).userFactors.toPandas()
    return model, {row.id: np.asarray(row.features) for row in users.itertuples()}


def test_a_listener_of_the_fit_gets_the_factor_of_mllib(fitted, data):
    model, users = fitted
    found = model.fold_in([data.history(u) for u in range(data.n_users)])
    assert len(users) == data.n_users
    np.testing.assert_allclose(found, np.stack([users[u] for u in range(data.n_users)]), atol=2e-4)


def test_the_factor_minimises_the_objective_of_the_paper(fitted, data):
    """For a listener who was in no fit, by the gradient over all tracks, played or not."""
    model, _ = fitted
    history = np.concatenate([data.history(0)[:5], data.history(1)[-6:], data.history(1)[-2:]])
    x = model.fold_in([history])[0]
    counts = np.bincount(history, minlength=data.n_tracks)
    r = np.where(counts > 0, 1.0 if model.config.rating == "binary" else 1 + np.log(np.maximum(counts, 1)), 0.0)
    confidence, liked = 1 + model.config.alpha * r, (counts > 0) * 1.0
    factors = model.factors.astype(float)
    gradient = factors.T @ (confidence * (factors @ x - liked)) + model.config.regularization * liked.sum() * x
    assert np.abs(gradient).max() < 1e-6


def test_ranking_is_by_the_product_with_the_track_factors(fitted, data):
    model, _ = fitted
    history = data.history(3)
    scores = model.score_histories([history])[0]
    np.testing.assert_allclose(scores, model.factors @ model.fold_in([history])[0], atol=1e-4)
    assert (model.factors[data.plays == 0] == 0).all()


def test_recency_fades_a_play_out_of_the_factor(fitted, data):
    model = Als(SMALL)
    model.__dict__ |= {k: v for k, v in fitted[0].__dict__.items() if k not in ("config", "name")}
    old, new = data.history(0)[:4], data.history(1)[-4:]
    model.config = replace(SMALL, half_life=0.01)
    only_last = model.fold_in([np.concatenate([old, new])])
    np.testing.assert_allclose(only_last, model.fold_in([new[-1:]]), atol=1e-9)
    model.config = replace(SMALL, half_life=1e9)
    forever = model.fold_in([np.concatenate([old, new])])
    model.config = SMALL
    np.testing.assert_allclose(forever, model.fold_in([np.concatenate([old, new])]), atol=1e-5)


def test_no_play_no_factor(fitted, data):
    model, _ = fitted
    assert (model.fold_in([np.array([], int)]) == 0).all()
    ids, _ = model.recommend(Requests.of([[]]), 3)
    assert (data.listeners[model.catalogue.vocabulary.lookup(ids[0])] >= np.sort(data.listeners)[-3:][::-1]).all()


def test_the_same_seed_fits_the_same_factors(fitted, data):
    again = Als(fitted[0].config).fit(data)
    np.testing.assert_allclose(again.factors, fitted[0].factors, atol=1e-5)


def test_als_beats_popularity_where_there_is_something_to_learn(spark, plain_data):
    train, held = split(plain_data)
    floor = evaluate(Popularity().fit(train), held, intervals=False).metrics[PRIMARY].value
    found = evaluate(Als(replace(SMALL, rank=12)).fit(train), held, intervals=False).metrics[PRIMARY].value
    assert found > 2 * floor


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="rating: 'plays'; use binary or log"):
        AlsConfig(rating="plays")
    with pytest.raises(ValueError, match="alpha: 0 must be above 0"):
        AlsConfig(alpha=0)
