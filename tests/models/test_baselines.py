from __future__ import annotations

import numpy as np
import pytest

from models.data import ListeningData
from models.evaluation.metrics import PRIMARY, evaluate
from models.evaluation.split import split
from models.recommend.base import UNRANKED, Queries, Recommender, Requests
from models.recommend.ease import Ease, EaseConfig, primal_weights, user_item_matrix
from models.recommend.popularity import Popularity
from models.recommend.transitions import TransitionConfig, Transitions, normalised, strongest, transition_counts

BASELINES = [
    Popularity,
    lambda: Ease(EaseConfig(20.0)),
    lambda: Ease(EaseConfig(20.0, half_life=3.0)),
    Transitions,
]


@pytest.mark.parametrize("make", BASELINES)
def test_contract_of_every_recommender(data, make):
    model = make().fit(data)
    assert isinstance(model, Recommender)
    histories = [["track-1", "track-2"], [], ["no such track", "track-3"]]
    ids, scores = model.recommend(
        Requests.of(histories, histories, hour=[3, -1, 5], device=["phone", "", "toaster"]), 20
    )
    assert ids.shape == scores.shape == (3, 20)
    assert (np.diff(scores, axis=1) <= 0).all()
    for row, history in zip(ids, histories, strict=True):
        assert len(set(row)) == 20
        assert not set(row) & set(history)


@pytest.mark.parametrize("make", BASELINES)
def test_when_the_catalogue_runs_out_places_stay_empty(data, make):
    model = make().fit(data)
    everything = data.catalogue.ids.tolist()
    ids, scores = model.recommend(Requests.of([["track-1"]], [everything[:-2]]), 5)
    assert set(ids[0, :2]) == set(everything[-2:])
    assert ids[0, 2:].tolist() == [""] * 3
    assert (scores[0, 2:] == UNRANKED).all()


@pytest.mark.parametrize("make", BASELINES)
def test_fitting_leaves_the_data_alone(data, make):
    before = data.items.copy()
    make().fit(data)
    np.testing.assert_array_equal(data.items, before)


def test_unfitted_models_say_so():
    with pytest.raises(RuntimeError, match=r"popularity: not fitted yet; call fit\(data\) first"):
        Popularity().recommend(Requests.of([[]]), 3)


def test_popularity_ranks_by_listeners(data):
    ids, _ = Popularity().fit(data).recommend(Requests.of([[]]), 5)
    listeners = data.listeners[data.catalogue.vocabulary.lookup(ids[0])]
    assert (np.diff(listeners) <= 0).all()
    assert listeners[0] == data.listeners.max()


def test_dual_form_of_ease_equals_the_primal(data):
    model = Ease(EaseConfig(15.0)).fit(data)
    assert model._weights is None, "more tracks than users: the dual form"
    weights = primal_weights(user_item_matrix(data), 15.0)
    history = np.unique(data.history(0))
    query = np.zeros(data.n_tracks)
    query[history] = 1
    scores = model.scores(Queries.of([history]))[0]
    np.testing.assert_allclose(scores, query @ weights, atol=2e-5)


def test_ease_weights_solve_the_constrained_ridge_problem(data):
    """The optimum of the paper: the gradient of the objective is zero off the diagonal, and the diagonal is zero."""
    matrix, weights = user_item_matrix(data).toarray(), primal_weights(user_item_matrix(data), 15.0)
    gradient = matrix.T @ (matrix @ weights - matrix) + 15.0 * weights
    np.fill_diagonal(gradient, 0)
    assert np.abs(gradient).max() < 1e-3
    assert (np.diag(weights) == 0).all()


def test_ease_past_its_limit_uses_the_most_listened_tracks(data):
    model = Ease(EaseConfig(15.0, max_side=40)).fit(data)
    assert len(model._items) == 40
    assert data.listeners[model._items].min() >= np.sort(data.listeners)[-40]
    ids, _ = model.recommend(Requests.of(data.histories([0])), data.n_tracks)
    assert (ids != "").all()


def test_recency_changes_the_query_and_the_name(data):
    plain, recent = Ease(EaseConfig(15.0)), Ease(EaseConfig(15.0, half_life=1.0))
    assert (plain.name, recent.name) == ("ease", "ease_recent")
    weights = recent.fit(data)._query([np.array([3, 5, 3, 7])]).toarray()[0]
    assert (weights[7], weights[3], weights[5]) == (1.0, 0.5, 0.25)


def test_transition_weights_by_hand(data):
    one = data.keep(data.user_of_play == 0)
    a, b, c = np.unique(one.items)[:3]
    one = ListeningData(one.users[:1], one.catalogue, np.array([0, 3]), np.array([a, b, c]))
    config = TransitionConfig(window=2, decay=0.5, backward=0.25, shrinkage=1.0)
    table = normalised(transition_counts(one, config), one.plays, config)
    assert table[a, b] == pytest.approx(1 / 2)
    assert table[a, c] == pytest.approx(0.5 / 2)
    assert table[b, a] == pytest.approx(0.25 / 2)
    assert table[c, a] == pytest.approx(0.125 / 2)


def test_transitions_do_not_cross_users(data):
    counts = transition_counts(data, TransitionConfig(window=1, backward=0.0)).toarray()
    last, first = data.items[data.offsets[1] - 1], data.items[data.offsets[1]]
    plays = [data.history(u) for u in range(data.n_users)]
    expected = sum(((h[:-1] == last) & (h[1:] == first)).sum() for h in plays)
    assert counts[last, first] == expected


def test_strongest_keeps_the_largest_of_each_row(data):
    table = normalised(transition_counts(data, TransitionConfig()), data.plays, TransitionConfig())
    columns, weights = strongest(table, 5)
    dense = table.toarray()
    np.testing.assert_allclose(weights, -np.sort(-dense, axis=1)[:, :5])
    row = int(np.argmax(dense.sum(1)))
    np.testing.assert_allclose(dense[row, columns[row]], weights[row])
    assert (columns[data.plays == 0] == -1).all()


def test_baselines_beat_popularity_where_there_is_something_to_learn(plain_data):
    train, held = split(plain_data)
    floor = evaluate(Popularity().fit(train), held, intervals=False).metrics[PRIMARY].value
    for make in BASELINES[1:]:
        model = make().fit(train)
        assert evaluate(model, held, intervals=False).metrics[PRIMARY].value > 2 * floor, model.name
