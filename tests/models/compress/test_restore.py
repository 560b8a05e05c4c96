"""What an export holds is found again."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import xgboost
from sequences import CONFIG, sequence

from models.compress.restore import NotThere, restored_sequence, restored_trees
from models.recommend.sequence.config import GRU4RecConfig
from models.recommend.two_stage.trees import Trees


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """-> (folder, trees, sequential model), laid out as in an exported recommender."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(400, 6)).astype(np.float32)
    model = xgboost.XGBRegressor(n_estimators=7, max_depth=4).fit(rows, rows[:, 0] * rows[:, 1])
    trees, whole = Trees.of(model.get_booster().save_raw("json")), tf.Module()
    whole.scorer, ranker, source = tf.Module(), tf.Module(), tf.Module()
    ranker.trees, source.scorer = trees, sequence(30)
    whole.scorer.rankers, whole.scorer.sequence = {"next": ranker}, source
    path = tmp_path_factory.mktemp("exported") / "1"
    tf.saved_model.save(whole, str(path))
    return path, trees, source.scorer


def test_trees_score_as_they_did_and_explain_themselves(exported):
    path, trees, _ = exported
    rows = np.random.default_rng(2).normal(size=(50, 6)).astype(np.float32)
    again = restored_trees(path, "next")
    assert again.depth == trees.depth
    np.testing.assert_array_equal(again(rows), trees(rows))
    np.testing.assert_allclose(again.shapley(rows[:3]), trees.shapley(rows[:3]), atol=1e-6)


def test_the_sequential_model_answers_as_it_did(exported):
    path, _, scorer = exported
    history = np.array([[4, 9, 4, 2, -1, -1]], np.int32)
    np.testing.assert_allclose(restored_sequence(path, CONFIG)(history), scorer(history), atol=1e-6)


def test_what_is_not_there_and_other_settings_are_refused(exported):
    with pytest.raises(NotThere, match="discover ranker is none of trees"):
        restored_trees(exported[0], "discover")
    with pytest.raises(ValueError, match="8 dimensions, the settings say 16"):
        restored_sequence(exported[0], GRU4RecConfig(dim=16))
