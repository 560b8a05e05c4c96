from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation_world import judged
from hypothesis import given
from hypothesis import strategies as st

from models.baselines import make
from models.evaluation.comparison import compare_all, compare_files, holm, matrix_markdown
from models.evaluation.metrics import PRIMARY, compare, evaluate
from models.evaluation.protocol import three_way
from models.predict import predict

METRICS = (PRIMARY, "discover_coverage_at_10", "discover_popularity_lift_at_10", "next_mrr_at_100")


@pytest.fixture(scope="module")
def split(plain_data):
    return three_way(plain_data)


@pytest.fixture(scope="module")
def evaluations(split):
    return judged(split.train, split.test)


def test_every_pair_is_there_both_ways_round(evaluations):
    frame = compare_all(evaluations, METRICS)
    assert len(frame) == len(METRICS) * 4 * 3
    both = frame.merge(frame, left_on=["metric", "baseline", "candidate"], right_on=["metric", "candidate", "baseline"])
    assert len(both) == len(frame)
    np.testing.assert_allclose(both.difference_x, -both.difference_y)
    np.testing.assert_allclose(both.lo_x, -both.hi_y)
    assert (both.p_value_x == both.p_value_y).all()
    assert (frame.p_holm >= frame.p_value).all()


def test_a_row_is_the_paired_difference(evaluations):
    by_name = {e.model: e for e in evaluations}
    for row in compare_all(evaluations, METRICS).itertuples():
        one, other = by_name[row.baseline], by_name[row.candidate]
        assert row.difference == pytest.approx(other.metrics[row.metric].value - one.metrics[row.metric].value)
        assert compare(one, other, row.metric).lo == pytest.approx(row.lo)


def test_markdown_marks_what_excludes_zero(evaluations):
    frame = compare_all(evaluations, ["next_ndcg_at_10"])
    lines = matrix_markdown(frame, "next_ndcg_at_10").splitlines()
    assert lines[0].endswith("| popularity | ease | ease_recent | transitions |")
    cell = lines[5].split("|")[2].strip()
    assert cell.startswith("**+")
    assert cell.endswith("p < 0.005**")
    assert lines[2].split("|")[2].strip() == ""


def test_models_of_one_name_are_refused(evaluations):
    with pytest.raises(ValueError, match="not all different"):
        compare_all([evaluations[0], evaluations[0]])


def test_models_judged_on_other_users_are_refused(split, evaluations):
    other = evaluate(make("popularity")[0].fit(split.train), split.test.sample(20), "less")
    with pytest.raises(ValueError, match="not the same ones"):
        compare(evaluations[0], other)
    with pytest.raises(ValueError, match="has no metric 'ndcg'"):
        compare(evaluations[0], other, "ndcg")


def test_what_needs_resamples_says_so(split):
    one = evaluate(make("popularity")[0].fit(split.train), split.test, intervals=False)
    assert compare(one, one).p_value == 1
    with pytest.raises(ValueError, match="needs resamples"):
        compare(one, one, "discover_coverage_at_10")


def test_files_compare_as_the_models_that_wrote_them(split, evaluations, tmp_path):
    asked, paths = split.test.requests("discover"), []
    for name in ("popularity", "transitions"):
        paths.append(tmp_path / f"{name}.parquet")
        pq.write_table(predict(make(name)[0].fit(split.train), split.test.users, asked, "discover"), paths[-1])
    found = compare_files(*paths, split.test, "discover")
    by_name = {e.model: e for e in evaluations}
    for metric, difference in found.items():
        assert difference == compare(by_name["popularity"], by_name["transitions"], metric), metric


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_makes_a_p_value_smaller_and_keeps_the_order(values):
    p, adjusted = np.array(values), holm(values)
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
