"""What a smaller version costs, and which one is chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.compress import report
from models.compress.comparison import Agreement, Comparison, Judged, Measured, Version, choose, measure
from models.compress.latency import Latency
from models.evaluation.bootstrap import Difference


def measured(name: str, stored: int, loss: float, width: float = 0.001) -> Measured:
    version = Version(name, "reference", Path(name), np.zeros((1, 1)))
    difference = Difference(loss, loss - width, loss + width)
    alike = Agreement(0, 0, 1, 1)
    return Measured(
        version, stored, stored // 2, Latency(stored / 100, stored / 50), 0.2 + loss, difference, alike, alike
    )


REFERENCE = measured("reference", 1000, 0.0, 0.0)


def test_the_smallest_within_the_tolerance_is_chosen_and_the_interval_is_told():
    found = choose(
        [REFERENCE, measured("half", 500, 0.001), measured("close", 200, -0.0009), measured("tiny", 50, -0.01)]
    )
    assert found.name == "close"
    assert "5.0 times smaller" in found.reason and "-0.45%" in found.reason
    assert "allows a loss of up to 0.9%" in found.reason


def test_an_interval_within_the_tolerance_is_said_to_be_certain():
    assert "leaves no more" in choose([REFERENCE, measured("good", 10, 0.0, 0.0005)]).reason


def test_the_reference_stays_where_every_other_one_loses_too_much():
    assert choose([REFERENCE, measured("tiny", 50, -0.01)]).name == "reference"


def test_ndcg_is_that_of_the_place_of_the_right_candidate_by_user():
    relevant = np.zeros((3, 12), bool)
    relevant[0, 4] = relevant[1, 4] = True  # of the third moment no candidate is right
    judged = Judged({}, relevant, np.ones((3, 12), bool), np.array([7, 7, 9]))
    scores = np.zeros((3, 12))
    scores[0, 4] = 1.0  # first
    scores[1, :4] = 2.0
    scores[1, 4] = 1.0  # fifth
    np.testing.assert_allclose(judged.ndcg(scores), [(1 + 1 / np.log2(6)) / 2, 0.0])
    gone = Judged({}, relevant, ~relevant, np.array([7, 7, 9]))
    assert gone.ndcg(scores).sum() == 0


def test_equal_scores_gain_nothing_from_the_order_of_the_candidates():
    first = np.zeros((1, 500), bool)
    first[0, 0] = True
    judged = Judged({}, first, np.ones((1, 500), bool), np.array([1]))
    assert judged.ndcg(np.zeros((1, 500))) == 0


def test_agreement_of_shifted_and_of_reversed_scores():
    scores, there = np.arange(20.0)[None], np.ones((1, 20), bool)
    same = Agreement.of(scores, scores + 2, there)
    assert same == (2.0, 2.0, pytest.approx(1.0), 1.0)
    back = Agreement.of(scores, -scores, there)
    assert back.correlation == pytest.approx(-1.0) and back.top == 0.0


def test_table_and_plot_show_every_version_against_the_reference(tmp_path):
    rng = np.random.default_rng(0)
    relevant = np.eye(30, dtype=bool)
    judged = Judged({}, relevant, np.ones((30, 30), bool), np.arange(30))
    best = relevant + 0.5 * rng.normal(size=(30, 30))
    versions = []
    for name, scores, size in (("whole", best, 900), ("small, int8", 1.01 * best, 90)):
        (tmp_path / name).write_bytes(bytes(size))
        versions.append(Version(name, "whole", tmp_path / name, scores))
    found = measure(versions, judged, {"whole": Latency(4.0, 5.0), "small, int8": Latency(1.0, 2.0)}, "a model")
    assert isinstance(found, Comparison) and found.of("small, int8").stored == 90
    table = report.markdown(found)
    assert "| 10.0× |" in table and "| 4.0× |" in table and "Chosen: small, int8" in table
    assert report.plot(found)[:4] == b"\x89PNG"
    assert found.metrics()["small_int8.median_ms"] == 1.0  # a name that MLflow takes
    assert "of version 3" in report.card(found, "a-model", 3, "the last tenth")
    with pytest.raises(KeyError, match="whole, small, int8"):
        found.of("other")
