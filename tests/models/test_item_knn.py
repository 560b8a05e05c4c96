"""Item-kNN against its formula on dense matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from handmade import dense
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.recommend.interactions import popularity_prior, recency_query, user_item_matrix
from models.recommend.item_knn import ItemKnn, ItemKnnConfig, nearest, similarities

CONFIGS = [
    ItemKnnConfig("cosine", shrinkage=2.0, neighbours=10_000),
    ItemKnnConfig("cosine", shrinkage=0.0, user_power=0.7, neighbours=10_000),
    ItemKnnConfig("conditional", shrinkage=1.5, popularity_power=0.4, neighbours=10_000),
]


def reference(matrix: np.ndarray, config: ItemKnnConfig) -> np.ndarray:
    weight = np.maximum(matrix.sum(1), 1) ** -config.user_power
    together = matrix.T @ (weight[:, None] * matrix)
    size = np.diag(together)
    if config.similarity == "cosine":
        scale = np.sqrt(np.outer(size, size)) + config.shrinkage
    else:
        scale = np.outer(size + config.shrinkage, size**config.popularity_power)
    out = np.divide(together, scale, out=np.zeros_like(together), where=together > 0)
    np.fill_diagonal(out, 0)
    return out


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("block", [7, 1024])
def test_similarities_equal_the_dense_formula(data, config, block):
    found = sp.vstack(list(similarities(user_item_matrix(data), replace(config, block=block)))).toarray()
    np.testing.assert_allclose(found, reference(dense(data), config), atol=1e-6)


def test_scores_are_the_recency_weighted_sum_over_the_kept_neighbours(data):
    config = ItemKnnConfig(neighbours=5, shrinkage=3.0, half_life=2.0)
    model = ItemKnn(config).fit(data)
    full = reference(dense(data), config)
    kept = np.where(full >= -np.sort(-full, axis=1)[:, 4:5], full, 0)
    ties = (kept > 0).sum(1) > 5
    history = [t for t in np.unique(data.items) if not ties[t]][:3]
    played = np.array([history[0], history[0], history[1], history[2]])  # the latest play of each counts
    expected = kept[history[2]] + 0.5 ** (1 / 2) * kept[history[1]] + 0.5 ** (2 / 2) * kept[history[0]]
    np.testing.assert_allclose(model.score_histories([played])[0], expected + popularity_prior(data), atol=1e-6)


def test_recency_query_by_hand():
    query = recency_query([np.array([3, 5, 3, 7]), np.array([], int), np.array([1])], 9, half_life=1.0).toarray()
    assert query[0].tolist() == [0, 0, 0, 0.5, 0, 0.25, 0, 1, 0]
    assert query[1].sum() == 0
    assert query[2].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert recency_query([np.array([3, 5, 3])], 9, half_life=None).toarray().sum() == 2


@given(arrays(np.float32, (6, 8), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0])), st.integers(1, 9))
def test_nearest_keeps_the_largest_values_of_every_row(table, n):
    found = nearest(sp.csr_matrix(table), n).toarray()
    np.testing.assert_array_equal(-np.sort(-found, axis=1)[:, :n], -np.sort(-table, axis=1)[:, :n])
    assert ((found == 0) | (found == table)).all()
    assert ((found > 0).sum(1) <= n).all()


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="similarity: 'jaccard'; use cosine or conditional"):
        ItemKnnConfig("jaccard")
    with pytest.raises(ValueError, match="neighbours: 0 must be at least 1"):
        ItemKnnConfig(neighbours=0)
    with pytest.raises(ValueError, match="shrinkage: -1 must not be negative"):
        ItemKnnConfig(shrinkage=-1)
