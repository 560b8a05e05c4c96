"""Conversions answer as what was converted does."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.compress.litert import FLOAT, INT8, KINDS, WEIGHTS, LiteModel, convert, operations
from models.recommend.two_stage.student import Ramps, RowNetwork

ROWS, FEATURES = 20, 12


@pytest.fixture(scope="module")
def network():
    """Features of very unlike ranges, as counts, ages and shares are."""
    low = np.outer(10.0 ** np.arange(FEATURES // 2).repeat(2), np.linspace(0, 0.75, 4))
    width = np.repeat(10.0 ** np.arange(FEATURES // 2).repeat(2)[:, None] / 4, 4, 1)
    return RowNetwork(Ramps(low, width, low[:, 2]), (48, 16), seed=1)


def rows(seed: int) -> np.ndarray:
    unit = np.random.default_rng(seed).random((ROWS, FEATURES))
    return (unit * 10.0 ** np.arange(FEATURES // 2).repeat(2)).astype(np.float32)


@pytest.fixture(scope="module")
def converted(network):
    spec, samples = [tf.TensorSpec([ROWS, FEATURES], tf.float32, "rows")], [{"rows": rows(s)} for s in range(20)]
    return {kind: convert(network, spec, network, kind, samples) for kind in KINDS}


def test_float_is_exact_and_int8_near(network, converted):
    asked = rows(99)
    wanted = network(asked).numpy()
    apart = {kind: np.abs(LiteModel(content)(rows=asked) - wanted).max() for kind, content in converted.items()}
    spread = wanted.std()
    assert apart[FLOAT] < 1e-5 * spread + 1e-6
    assert 0 < apart[WEIGHTS] < 0.1 * spread
    assert 0 < apart[INT8] < 0.25 * spread


def test_int8_is_smaller_and_multiplies_in_integers(converted):
    assert len(converted[WEIGHTS]) < 0.7 * len(converted[FLOAT])
    assert len(converted[INT8]) < 0.8 * len(converted[FLOAT])
    assert "QUANTIZE" in operations(converted[INT8]) and "QUANTIZE" not in operations(converted[FLOAT])


def test_an_unknown_kind_and_int8_without_data_are_refused(network):
    spec = [tf.TensorSpec([ROWS, FEATURES], tf.float32, "rows")]
    with pytest.raises(ValueError, match="kind 'int4' is none of float32"):
        convert(network, spec, network, "int4")
    with pytest.raises(ValueError, match="representative"):
        convert(network, spec, network, INT8)
