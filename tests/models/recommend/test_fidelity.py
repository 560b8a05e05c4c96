"""The deletion test of explanations, on models whose causes are known."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.recommend.explain import CONTEXT, PLAY, Cause, Explanation
from models.recommend.explained import Explained
from models.recommend.fidelity import HEADER, fidelity, without
from models.recommend.integrated_gradients import integrated_gradients
from models.recommend.requests import Requests

GROUPS = ("follows", "context.hour", "base")
WORTH = {"a": 1.0, "b": 0.2, "c": 0.05, "d": 0.0}


class Additive:
    """Scores are sums over the played tracks and 0.5 for a known hour; explains itself truly, or not."""

    def __init__(self, honest: bool = True):
        self.honest = honest

    def scores_of(self, requests, tracks):
        hours = requests.context.get("hour", [None] * len(requests))
        return [
            np.array([sum(WORTH[p] for p in history) + 0.5 * (hour is not None)] * len(chosen))
            for history, hour, chosen in zip(requests.histories, hours, tracks, strict=True)
        ]

    def explain(self, requests, tracks):
        scores, out = self.scores_of(requests, tracks), []
        for row, history in enumerate(requests.histories):
            value = np.array([WORTH[p] for p in history])
            plays = np.zeros((len(history), 3))
            plays[:, 0] = value if self.honest else value.max() - value
            hour = 0.5 * (requests.context.get("hour", [None] * len(requests))[row] is not None)
            rest = np.array([0.0, hour, 0.0])
            rest[2] = scores[row][0] - plays.sum() - rest.sum()
            out.append([Explanation.of(t, list(history), plays, rest, GROUPS) for t in tracks[row]])
        return out


HISTORIES = [["a", "b", "c", "d"], ["c", "b", "a"], ["d", "c", "b"], ["a", "d", "c"]] * 5
ASKED = Requests.of(HISTORIES)


def test_true_causes_lower_the_score_and_more_than_others():
    found = fidelity(Additive(), ASKED, ["x"] * 20, listeners=[f"user-{i % 10}" for i in range(20)])
    assert (found.asked, found.tested, found.listeners) == (20, 20, 10)
    assert found.share.value == 1 and found.control_share.value < 1
    assert found.difference.lo > 0 and found.gap < 1e-9
    assert found.causes == {PLAY: 20}
    assert len(found.row()) == len(HEADER)


def test_false_causes_are_found_out():
    found = fidelity(Additive(honest=False), ASKED, ["x"] * 20)
    assert found.difference.hi < 0 and found.share.value < 0.8


def test_fields_of_the_moment_are_taken_away_too():
    asked = Requests.of([["b", "c"], ["d", "c"]] * 3, hour=[8, 9] * 3, device=["phone"] * 6)
    found = fidelity(Additive(), asked, ["x"] * 6)
    assert found.causes == {"hour": 6}
    assert found.drop.value == pytest.approx(0.5) and found.control_drop.value == 0
    only = fidelity(Additive(), Requests.of([["a", "b"]] * 6, hour=[8] * 6, device=["tv"] * 6), ["x"] * 6, kinds=[PLAY])
    assert only.causes == {PLAY: 6}


def test_what_all_tracks_lose_is_no_reason_for_one():
    found = fidelity(Additive(), ASKED, ["x"] * 20, against=[["y", "z"]] * 20)
    assert found.drop.value == pytest.approx(0) and found.share.value == 0


def test_what_cannot_be_tested_says_so():
    with pytest.raises(ValueError, match="no request has a cause"):
        fidelity(Additive(), Requests.of([["a"], []]), ["x", "x"])
    with pytest.raises(ValueError, match="1 tracks for 2 requests"):
        fidelity(Additive(), Requests.of([["a"], []]), ["x"])
    with pytest.raises(ValueError, match="cannot be taken away"):
        without(Requests.of([["a"]]), Cause("popularity", ("popularity",), 1.0))


def test_taking_away_keeps_the_rest_of_the_request():
    whole = Requests([["a", "b", "a"]], [["a"]], [[1, 2, 3]], [[0, 1, 0]], [9], {"hour": [8]}, {"plan": ["free"]})
    less = without(whole, Cause(PLAY, ("a",), 1.0))
    assert (less.histories, less.times, less.skipped, less.exclude) == ([["b"]], [[2]], [[1]], [["a"]])
    assert without(whole, Cause(CONTEXT, ("hour",), 1.0)).context == {"hour": [None]}


def test_a_fitted_model_explains_its_own_scores(trained, data):
    """The exact linear shares of the two towers."""
    asked = Requests.of(data.histories(range(12)))
    ids, scores = trained.recommend(asked, 2)
    model = Explained(trained)
    found = model.explain(asked, ids.tolist())
    np.testing.assert_allclose([[e.score for e in row] for row in found], scores, atol=1e-4)
    measured = fidelity(model, asked, ids[:, 0].tolist(), kinds=[PLAY])
    assert measured.gap < 1e-4 and measured.drop.value > measured.control_drop.value


def test_integrated_gradients_are_exact_where_the_score_is_smooth():
    rng = np.random.default_rng(0)
    x, y = (tf.constant(rng.normal(size=(7, 3)), tf.float32) for _ in range(2))
    linear = integrated_gradients(lambda a: tf.reduce_sum(a * [1.0, -2.0, 3.0], 1), [x], [0.0], steps=1)
    np.testing.assert_allclose(linear.parts[0], x * [1.0, -2.0, 3.0], rtol=1e-5)
    product = integrated_gradients(lambda a, b: tf.reduce_sum(a * b, 1), [x, y], [0.0, 0.0], steps=2)
    for part in product.parts:  # of a product each factor has half
        np.testing.assert_allclose(part, x * y / 2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(product.gap, 0, atol=1e-5)


def test_more_steps_leave_less_of_a_kink():
    x = tf.constant(np.random.default_rng(1).normal(size=(200, 4)), tf.float32)
    weights = tf.constant(np.random.default_rng(2).normal(size=(4, 6)), tf.float32)
    gaps = [
        np.abs(
            integrated_gradients(lambda a: tf.reduce_sum(tf.nn.relu(a @ weights - 0.3), 1), [x], [0.1], n).gap
        ).mean()
        for n in (4, 16, 64)
    ]
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] and gaps[2] < 0.01


def test_integrated_gradients_need_a_baseline_each():
    with pytest.raises(ValueError, match="1 inputs, 0 baselines"):
        integrated_gradients(tf.reduce_sum, [tf.zeros(1)], [])
    with pytest.raises(ValueError, match="steps 0"):
        integrated_gradients(tf.reduce_sum, [tf.zeros(1)], [0.0], steps=0)
