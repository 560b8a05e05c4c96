"""The recurrence in one operation a step says what it says step by step."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from models.recommend.sequence.config import GRU4RecConfig
from models.recommend.sequence.encoders import Recurrence


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("by_session", [False, True])
def test_fused_steps_answer_as_the_loop_does_whatever_is_missing(layers, by_session):
    rng = np.random.default_rng(3)
    encoder = Recurrence(GRU4RecConfig(dim=8, layers=layers), rng)
    for variable in encoder.variables:
        variable.assign_add(0.5 * rng.standard_normal(variable.shape).astype(np.float32))
    x = tf.constant(rng.standard_normal((5, 9, 8)), tf.float32)
    known = tf.constant(rng.random((5, 9)) < [[0.0], [0.3], [0.6], [0.9], [1.0]])  # the first row has no play at all
    sessions = tf.constant(np.sort(rng.integers(0, 3, (5, 9)), 1), tf.int32) if by_session else None

    by_loop = encoder(x, known, sessions, False).numpy()
    before = len(encoder.trainable_variables)
    encoder.fuse()
    np.testing.assert_allclose(encoder(x, known, sessions, False), by_loop, atol=2e-6)
    assert len(encoder.trainable_variables) == before  # what was fused is no weight to be learned or handed on
