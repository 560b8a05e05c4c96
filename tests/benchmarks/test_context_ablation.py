"""What the ablation of the contextual ranker measures of each listener."""

import numpy as np
import pytest

from benchmarks.context_ablation import by_listener
from models.recommend.two_stage.examples import RankingExamples


class Told:
    """Answers given by hand."""

    def __init__(self, scores, chances):
        self._scores, self._chances = np.asarray(scores, np.float32), chances

    def scores(self, examples):
        return self._scores

    def chances(self, examples):
        return {name: np.asarray(values, np.float32) for name, values in self._chances.items()}


def test_values_are_means_of_a_listeners_moments():
    relevant = np.array([[True, False], [False, True], [False, False]])  # the last play was no candidate
    outcomes = np.full((3, 2, 4), -1, np.int8)
    outcomes[0, 0, :2], outcomes[1, 1, :2] = (1, 0), (0, 1)
    users = np.array([7, 7, 9], np.int32)
    examples = RankingExamples(
        np.zeros((3, 2, 1), np.float16), np.array([[0, 1]] * 3, np.int32), relevant, np.zeros((3, 1), np.int32),
        np.full((3, 9), -1, np.int16), np.full((3, 4), -1, np.int16), outcomes, users, np.arange(3),
    )  # fmt: skip
    certain = {"completion": [[0.8, 0.5]] * 3, "skip": [[0.2, 0.4]] * 3}
    found = by_listener(Told([[1, 0], [1, 0], [1, 0]], certain), examples)
    np.testing.assert_allclose(found["next_ndcg_at_10"], [(1 + 1 / np.log2(3)) / 2, 0], rtol=1e-6)
    losses = np.log(1 + np.exp(-1)), np.log(1 + np.exp(1))
    assert found["play_log_loss"] == pytest.approx([np.mean(losses)])
    assert found["skip_log_loss"] == pytest.approx([-np.log([0.8, 0.4]).mean()], rel=1e-6)
    assert found["completion_log_loss"] == pytest.approx([-np.log([0.8, 0.5]).mean()], rel=1e-6)
