"""Trees in TensorFlow against XGBoost itself."""

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recommend.two_stage.trees import Trees


def booster(seed: int = 0, trees: int = 20, depth: int = 5) -> tuple[xgb.Booster, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(800, 7)).astype(np.float32)
    right = (rows[:, 0] * rows[:, 1] + np.sin(2 * rows[:, 2]) > 0).astype(int)
    model = xgb.XGBRanker(objective="rank:ndcg", n_estimators=trees, max_depth=depth, random_state=seed)
    model.fit(rows, right, qid=np.repeat(np.arange(20), 40))
    return model.get_booster(), rows


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 6))
def test_scores_and_shapley_values_are_those_of_xgboost(seed, n_trees, depth):
    model, rows = booster(seed, n_trees, depth)
    trees, asked = Trees.of(model.save_raw("json")), rows[:30]
    matrix = xgb.DMatrix(asked)
    np.testing.assert_allclose(trees(asked).numpy(), model.predict(matrix, output_margin=True), atol=1e-5)
    ours, theirs = trees.shapley(asked).numpy(), model.predict(matrix, pred_contribs=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_allclose(ours.sum(1), trees(asked).numpy(), atol=1e-4)


def test_a_value_on_the_edge_of_a_split_goes_where_xgboost_sends_it():
    rows = np.array([[0.0], [1.0], [2.0], [3.0]] * 10, np.float32)
    model = xgb.XGBRegressor(n_estimators=3, max_depth=2).fit(rows, rows[:, 0] >= 2)
    edges = np.unique(np.concatenate([rows, rows + 0.5]))[:, None].astype(np.float32)
    trees = Trees.of(model.get_booster().save_raw("json"))
    np.testing.assert_allclose(trees(edges).numpy(), model.predict(edges), atol=1e-6)


def test_a_categorical_split_is_refused():
    import pandas as pd

    frame = pd.DataFrame({"kind": pd.Categorical(list("abcd") * 25)})
    model = xgb.XGBRegressor(n_estimators=2, enable_categorical=True).fit(frame, np.arange(100) % 4 == 1)
    with pytest.raises(ValueError, match="categorical"):
        Trees.of(model.get_booster().save_raw("json"))
