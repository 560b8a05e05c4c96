from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from models.evaluation.calibration import calibration, equal_mass, fit_isotonic, fit_platt, top_label


def sample(n=20_000, seed=0, slope=1.0, shift=0.0):
    """Outcomes drawn from true probabilities, and what an over-confident model (slope > 1) says instead."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 1.2, n)
    return expit(slope * logit + shift), (rng.random(n) < expit(logit)).astype(int)


def test_scores_by_hand():
    found = calibration("m", np.array([0.1, 0.1, 0.8, 0.8]), np.array([0, 1, 1, 1]), bins=2, resamples=50)
    assert found.brier.value == pytest.approx((0.01 + 0.81 + 0.04 + 0.04) / 4)
    assert found.log_loss.value == pytest.approx(-np.log([0.9, 0.1, 0.8, 0.8]).mean())
    assert found.ece.value == pytest.approx((2 * 0.4 + 2 * 0.2) / 4)
    assert found.brier_skill.value == pytest.approx(1 - 0.225 / (0.75 * 0.25))
    assert found.bins.n.tolist() == [2, 2]
    assert found.bins.observed.tolist() == [0.5, 1.0]


def test_scores_are_scikit_learns():
    from sklearn.metrics import brier_score_loss, log_loss

    p, y = sample(2000, slope=2)
    found = calibration("m", p, y, resamples=20)
    assert found.brier.value == pytest.approx(brier_score_loss(y, p))
    assert found.log_loss.value == pytest.approx(log_loss(y, p))


def test_true_probabilities_are_calibrated_and_others_are_not():
    good, bad = (calibration("m", *sample(slope=s), resamples=200) for s in (1.0, 2.5))
    assert good.ece.value < 0.012
    assert bad.ece.lo > 0.05
    inside = (good.bins.observed_lo <= good.bins.predicted) & (good.bins.predicted <= good.bins.observed_hi)
    assert inside.mean() > 0.7
    assert good.bins.n.max() - good.bins.n.min() <= 2


def test_rows_of_one_user_are_resampled_together():
    """Ten copies of every row say nothing new: the interval must not become narrower."""
    p, y = sample(500)
    once = calibration("m", p, y).brier
    copied = calibration("m", np.repeat(p, 10), np.repeat(y, 10), groups=np.repeat(np.arange(500), 10)).brier
    blind = calibration("m", np.repeat(p, 10), np.repeat(y, 10)).brier
    assert copied.hi - copied.lo == pytest.approx(once.hi - once.lo, rel=1e-6)
    assert blind.hi - blind.lo < 0.5 * (once.hi - once.lo)


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
def test_calibrators_put_a_part_they_have_not_seen_right(fit):
    calibrator = fit(*sample(seed=1, slope=2.5, shift=0.7))
    p, y = sample(seed=2, slope=2.5, shift=0.7)
    before, after = calibration("m", p, y, resamples=100), calibration("m", calibrator.apply(p), y, resamples=100)
    assert after.ece.value < 0.015 < before.ece.lo
    assert after.log_loss.hi < before.log_loss.lo


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=4, max_size=40))
def test_calibrators_answer_probabilities_in_the_order_they_got(fit, rows):
    p, y = (np.array(x, float) for x in zip(*rows, strict=True))
    calibrator = fit(p, y)
    grid = calibrator.apply(np.linspace(0, 1, 51))
    assert ((grid >= 0) & (grid <= 1)).all()
    if fit is fit_isotonic or calibrator.slope >= 0:
        assert (np.diff(grid) >= -1e-12).all()


def test_of_many_classes_the_likeliest_is_judged():
    confidence, right = top_label(np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]), np.array([1, 2]))
    assert confidence.tolist() == [0.5, 0.6]
    assert right.tolist() == [1, 0]


def test_platt_recovers_what_was_done_to_the_log_odds():
    found = fit_platt(*sample(100_000, slope=2.0))
    assert found.slope == pytest.approx(0.5, abs=0.02)
    assert found.intercept == pytest.approx(0, abs=0.05)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200), st.integers(1, 20))
def test_every_value_is_in_its_bin_and_equal_values_share_one(values, bins):
    p = np.array(values)
    bin_of, edges = equal_mass(p, bins)
    assert len(edges) - 1 <= max(bins, 1)
    assert (edges[bin_of] <= p).all()
    assert (p <= edges[bin_of + 1]).all()
    assert set(bin_of) == set(range(len(edges) - 1))
    assert len(set(zip(p, bin_of, strict=True))) == len(set(p))


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        ([0.5], [0, 1], "1 probabilities for 2 outcomes"),
        ([], [], "some, are needed"),
        ([1.5], [1], "1.5 is not between 0 and 1"),
        ([np.nan], [1], "nan is not between"),
        ([0.5], [2], "2.0 is neither 0 nor 1"),
    ],
)
def test_bad_input_is_named(p, y, message):
    with pytest.raises(ValueError, match=message):
        calibration("m", np.array(p), np.array(y))
