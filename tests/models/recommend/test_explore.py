"""Exploration: what is logged is the chance it was shown with, and that is enough to judge what was not shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.evaluation.off_policy import ips, snips
from models.recommend.explore import Exploration, chances, explore, place_chances, weights_of

SCORES = np.array([5.0, 4.0, 3.5, 3.0, 2.0, 1.5, 1.0, 0.5])
POLICIES = (
    Exploration((1, 3), pool=5, epsilon=1.0),
    Exploration((1, 3), pool=5, epsilon=0.4),
    Exploration((1, 3), pool=5, epsilon=0.5, temperature=1.0),
    Exploration((2,), pool=5, epsilon=1.0, temperature=1.5),
)


def shown_many(how: Exploration, n: int):
    return [explore(SCORES, 4, f"request-{i}", how) for i in range(n)]


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=9), st.sampled_from([None, 0.5, 2.0]))
@settings(max_examples=60, deadline=None)
def test_the_chances_of_all_places_sum_to_one(scores, temperature):
    weights = weights_of(np.array(scores), temperature)
    all_ = place_chances(weights, np.arange(len(scores)))
    np.testing.assert_allclose(all_.sum(0), 1, atol=1e-9)
    np.testing.assert_allclose(all_.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(all_[:, 0], weights, atol=1e-11)


def test_the_chance_of_a_second_place_is_that_of_the_sum_over_the_first():
    weights = weights_of(SCORES[:5], 1.0)
    by_hand = [sum(weights[j] * weights[i] / (1 - weights[j]) for j in range(5) if j != i) for i in range(5)]
    np.testing.assert_allclose(place_chances(weights, np.arange(5))[:, 1], by_hand, rtol=1e-10)


@pytest.mark.parametrize("how", POLICIES, ids=lambda how: f"{how.policy} {how.slots}")
def test_what_is_shown_is_shown_as_often_as_logged(how):
    n = 6000
    lists = shown_many(how, n)
    for slot in how.slots:
        logged = {int(s.place[slot]): s.propensity[slot] for s in lists}
        counts = np.bincount([s.place[slot] for s in lists], minlength=len(SCORES))
        assert sum(logged.values()) == pytest.approx(1), "every track of the pool has come, and their chances sum to 1"
        tracks = sorted(logged)
        expected = np.array([logged[t] for t in tracks]) * n
        seldom = expected < 5
        observed = counts[tracks]
        if seldom.any():  # too seldom for the test each, so together
            expected = np.append(expected[~seldom], expected[seldom].sum())
            observed = np.append(observed[~seldom], observed[seldom].sum())
        assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_the_chance_of_a_list_is_the_product_of_those_given_what_came_before():
    how = POLICIES[2]
    n = 8000
    lists = shown_many(how, n)
    pairs = [(int(s.place[1]), int(s.place[3])) for s in lists]
    chance = {pair: float(np.prod(s.given)) for pair, s in zip(pairs, lists, strict=True)}
    assert sum(chance.values()) == pytest.approx(1, abs=0.02)  # the rarest pairs may not have come
    for pair, expected in chance.items():
        if expected * n > 50:
            assert pairs.count(pair) / n == pytest.approx(expected, abs=4 * np.sqrt(expected / n))


def test_a_list_has_no_track_twice_and_keeps_what_is_no_slot():
    for s in shown_many(POLICIES[2], 200):
        assert len(set(s.place.tolist())) == 4
        assert s.place[0] == 0 and s.place[2] == 2 and not s.explored[[0, 2]].any()
        assert (s.propensity[[0, 2]] == 1).all() and (s.propensity > 0).all() and (s.given <= 1 + 1e-12).all()


def test_a_request_is_explored_alike_each_time_and_unlike_others():
    first, again = (shown_many(POLICIES[0], 50) for _ in range(2))
    assert all((a.place == b.place).all() for a, b in zip(first, again, strict=True))
    assert len({tuple(s.place) for s in first}) > 10
    other = [explore(SCORES, 4, f"request-{i}", Exploration((1, 3), 5, 1.0, seed=1)).place for i in range(50)]
    assert any((a.place != b).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("how", [Exploration((1, 3), 5, epsilon=0.0), Exploration((1, 3), pool=0, epsilon=1.0),
                                 Exploration((), 5, 1.0), Exploration((4, 9), 5, 1.0)])  # fmt: skip
def test_without_chance_pool_or_slots_the_list_stays(how):
    for s in shown_many(how, 20):
        assert s.place.tolist() == [0, 1, 2, 3]
        assert (s.propensity == 1).all() and (s.given == 1).all()


def test_a_list_shorter_than_its_slots_stays():
    short = explore([1.0, 0.5], 4, "r", Exploration((1, 3), 5, 1.0))
    assert short.place.tolist() == [0, 1] and not short.explored.any()


@pytest.mark.parametrize("how", POLICIES, ids=lambda how: f"{how.policy} {how.slots}")
def test_propensities_tell_what_another_policy_would_have_earned(how):
    """A planted world: the track of rank r in a slot is liked with chance (r + 1) / 10, against the scores' order."""
    rng, slot, wanted = np.random.default_rng(0), how.slots[-1], np.array([0, 0.1, 0, 0.2, 0.1, 0.1, 0.2, 0.3])
    support = [*how.slots, 4, 5, 6, 7]
    wanted = np.where(np.isin(np.arange(8), support), wanted, 0)
    wanted /= wanted.sum()
    truth = float(wanted @ (np.arange(8) + 1) / 10)
    lists = shown_many(how, 6000)
    track = np.array([s.place[slot] for s in lists])
    liked = (rng.random(len(track)) < (track + 1) / 10).astype(float)
    propensity = np.array([s.propensity[slot] for s in lists])
    for estimate in (ips, snips):
        found = estimate(liked, propensity, wanted[track])
        assert abs(found.value - truth) < found.hi - found.lo < 0.2
    assert abs(liked.mean() - truth) > 0.02, "the logged mean would have been wrong"


def test_inverse_propensities_are_unbiased_over_all_draws():
    """Expectation of the estimate over every list the policy can show, without sampling."""
    reward, wanted = np.arange(6) / 6, np.array([0.1, 0.3, 0.0, 0.2, 0.1, 0.3])
    weights = weights_of(SCORES[:6], 1.5)
    for slot in range(2):
        expectation = 0.0
        for first in range(6):
            for second in range(6):
                if first == second:
                    continue
                over_all, given_ = chances(weights, np.array([first, second]), 0.3)
                shown = (first, second)[slot]
                expectation += np.prod(given_) * reward[shown] * wanted[shown] / over_all[slot]
        assert expectation == pytest.approx(float(reward @ wanted), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": (3, 1)}, "ascending"),
        ({"slots": (-1,)}, "from 0"),
        ({"epsilon": 1.5}, "not from 0 to 1"),
        ({"temperature": 0.0}, "above 0"),
        ({"pool": -1}, "below 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Exploration(**change)


def test_what_cannot_be_weighed_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        explore([1.0, np.nan], 2, "r")
    with pytest.raises(ValueError, match=r"propensity 0\.0"):
        ips([1.0], [0.0], [1.0])
