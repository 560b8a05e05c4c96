from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cold_worlds import BIRTH_YEARS, TRACKS, planted

from models.evaluation import cold
from models.recommend.base import Requests
from models.recommend.cold_start.cold_start import ColdStart
from models.recommend.cold_start.config import ColdStartConfig
from models.recommend.cold_start.pool import Pool, fit_theta
from models.recommend.cold_start.sources import NAMES
from models.recommend.ease import Ease, EaseConfig
from models.recommend.popularity import Popularity
from models.stored import load, store

CONFIG = ColdStartConfig(knots=(0, 1, 3, 10), held_out=0.25, words=0)


@pytest.fixture(scope="module")
def asked(world):
    return cold.new_listeners(world)


@pytest.fixture(scope="module")
def fitted(asked):
    return ColdStart(Ease(EaseConfig(regularization=20.0)), CONFIG).fit(asked.train)


def test_it_loses_to_neither_its_base_nor_popularity_on_any_slice_and_wins_without_plays(asked, fitted):
    models = [Popularity().fit(asked.train), Ease(EaseConfig(regularization=20.0)).fit(asked.train), fitted]
    found = cold.differences(cold.judge_listeners(models, asked), fitted.name)
    assert all(d.hi > 0 for d in found.values()), found
    assert found["0 plays", "ease"].lo > 0.1 and found["0 plays", "popularity"].lo > 0.1


def test_without_a_play_the_profile_decides_and_a_play_outweighs_it(fitted):
    ids, _ = fitted.recommend(Requests.of([[]] * 4, profile={"birth_year": list(BIRTH_YEARS)}), 10)
    genres = np.vectorize(lambda t: int(t[1:]) // (5 * TRACKS))(ids)
    assert [np.bincount(row, minlength=4).argmax() for row in genres] == [0, 1, 2, 3]
    oldest = Requests.of([["t150", "t151", "t145", "t150"]], profile={"birth_year": [BIRTH_YEARS[0]]})
    genres = [int(t[1:]) // (5 * TRACKS) for t in fitted.recommend(oldest, 10)[0][0]]
    assert genres.count(3) > 5


def test_new_tracks_are_ranked_by_what_they_are(world, names):
    asked = cold.new_tracks(world, share=0.15, held_out=0.3)
    base = Ease(EaseConfig(regularization=20.0))
    models = [base.refit(asked.train), ColdStart(base, CONFIG, names).fit(asked.train)]
    judged = cold.judge_tracks(models, asked)
    among = cold.differences(judged, models[1].name)
    assert among[cold.AMONG, "ease"].lo > 0.1
    assert judged[cold.WHOLE, models[1].name].metrics["discover_recall_at_10"].value > 0
    assert judged[cold.WHOLE, "ease"].metrics["discover_recall_at_10"].value == 0


def test_a_second_fit_answers_the_same_and_a_clock_or_no_profile_is_no_hindrance(asked, fitted):
    again = fitted.refit(asked.train)
    requests = asked.slices[3].requests("discover")[:20]
    assert (again.recommend(requests, 10)[0] == fitted.recommend(requests, 10)[0]).all()
    timed = planted(users=120, clock="event")
    model = ColdStart(Popularity(), CONFIG).fit(timed)
    assert (model.recommend(Requests.of([[], ["t1", "unheard of"]]), 5)[0] != "").all()


def test_data_with_neither_content_nor_profiles_still_answer(plain_data):
    model = ColdStart(Ease(EaseConfig()), ColdStartConfig(knots=(0, 3), held_out=0.4)).fit(plain_data)
    ids, scores = model.recommend(Requests.of([[], ["track-3"]]), 5)
    assert (ids != "").all() and np.isfinite(scores).all()


def test_too_few_listeners_to_weigh_the_sources_are_named():
    with pytest.raises(ValueError, match="10 are needed"):
        ColdStart(Popularity(), CONFIG).fit(planted(users=12))


def test_weights_are_found_again_and_handed_over_without_a_step():
    rng = np.random.default_rng(0)
    true = np.array([1.5, -0.7])
    phi = [rng.normal(size=(2, 50)).astype(np.float32) for _ in range(400)]
    truths = [np.array([rng.choice(50, p=np.exp(true @ x) / np.exp(true @ x).sum())]) for x in phi]
    found = fit_theta(phi, truths, 0.01, np.zeros(2))
    assert np.allclose(found, true, atol=0.2)
    first = [np.array([0])] * len(phi)
    kept = [i for i, truth in enumerate(truths) if truth[0]]
    without = fit_theta([phi[i] for i in kept], [truths[i] for i in kept], 0.01, np.zeros(2), first[: len(kept)])
    assert np.allclose(without, true, atol=0.2)
    pool = Pool((0, 1, 10), np.array([[0.0], [1.0], [3.0]]))
    assert pool.at(np.array([0, 1, 10, 500]))[:, 0].tolist() == [0, 1, 3, 3]
    steps = np.diff(pool.at(np.arange(11))[:, 0])
    assert (steps > 0).all()


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match="knots"):
        ColdStartConfig(knots=(1, 3))
    with pytest.raises(ValueError, match="follow"):
        ColdStartConfig(follow=0)


def test_each_task_has_weights_of_its_own_and_what_is_excluded_asks_for_the_new(asked, fitted):
    again = NAMES.index("again")
    assert np.isfinite(fitted.pools["next"].theta).all()
    assert np.allclose(fitted.pools["discover"].theta[:, again], 0)  # no track heard before is a candidate
    asking = asked.slices[10].requests("next")[:10]
    other = replace(asking, exclude=[["t0"] if row[-1] != "t0" else ["t1"] for row in asking.histories])
    played = [fitted.scores(fitted.queries(requests)) for requests in (asking, other)]
    anew = fitted.scores(fitted.queries(asking.for_task("discover")))
    assert np.array_equal(*played) and not np.allclose(played[0], anew)


def test_it_is_kept_and_read_again(asked, fitted, tmp_path):
    requests = asked.slices[3].requests("discover")[:20]
    kept = load(store(fitted, tmp_path / "model", fitted.name))
    assert (kept.recommend(requests, 10)[0] == fitted.recommend(requests, 10)[0]).all()


def test_weights_of_a_knot_that_too_few_listeners_reach_are_left_out(asked):
    model = ColdStart(Popularity(), replace(CONFIG, knots=(0, 3, 1000))).fit(asked.train)
    assert model.pools["next"].knots == model.pools["discover"].knots == (0, 3)
