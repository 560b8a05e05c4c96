"""Smaller forms of the contextual network, on moments whose rule is known."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from moments_world import CONTEXT, PROFILE, TRACKS, catalogue, moments

from models.compress.litert import WEIGHTS
from models.compress.network import NetworkCompression, compress_network, portable
from models.compress.pruning import PruningConfig
from models.recommend.two_stage.contextual_config import ContextualConfig
from models.recommend.two_stage.contextual_trainer import fit_contextual

TAUGHT = ContextualConfig(dim=8, history=12, hidden=(32, 16), bins=6, epochs=6, batch_size=64, learning_rate=1e-2)
CONFIG = NetworkCompression(
    dim=8, hidden=(12,), bins=4, epochs=8, learning_rate=1e-2, rounds=3, kinds=(WEIGHTS,),
    pruning=PruningConfig(final=0.6, epochs=4, every=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return fit_contextual(moments(), catalogue(), np.ones(TRACKS, np.int64), CONTEXT, PROFILE, TAUGHT)


@pytest.fixture(scope="module")
def compressed(network, tmp_path_factory):
    folder, later = tmp_path_factory.mktemp("network"), moments(300, seed=1)
    return compress_network(network, moments(), catalogue(), (CONTEXT, PROFILE), later, folder, CONFIG)


def test_the_portable_form_answers_as_the_network_does(network):
    features = tf.constant(np.random.default_rng(0).normal(0, 30, (4, 7, network.n_features)), tf.float32)
    np.testing.assert_allclose(portable(network).pieces(features), network.pieces(features), atol=2e-5)


def test_every_form_is_there_timed_and_judged_on_the_same_listeners(compressed):
    found, _ = compressed
    names = [each.version.name for each in found.measured]
    kinds = [f"{name}, {kind}" for name in ("network", "student", "pruned") for kind in CONFIG.kinds]
    assert names == ["network", *kinds] and found.users == 50
    assert all(each.latency.median > 0 and each.stored > each.gzip > 0 for each in found.measured)


def test_conversions_keep_the_order_and_students_most_of_it(compressed):
    found, _ = compressed
    assert found.of("network, int8 weights").agreement.correlation > 0.97
    assert found.of("network, int8 weights").stored < found.reference.stored
    assert found.of("student, int8 weights").agreement.correlation > 0.8
    assert found.of("student, int8 weights").stored < found.of("network, int8 weights").stored


def test_the_pruned_one_has_its_zeroes(network, compressed):
    _, smaller = compressed
    weights, _ = smaller["pruned"].layers[0]
    assert np.mean(weights.numpy() == 0) == pytest.approx(0.6, abs=0.01)
    assert np.mean(network.layers[0][0].numpy() == 0) < 0.01
