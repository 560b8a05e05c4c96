"""The schedule of the zeroes, and that they stay."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from models.compress.pruning import MagnitudePruning, PruningConfig, gzip_bytes, stored_bytes


@given(st.floats(0, 0.99), st.floats(0, 1), st.floats(0, 1))
def test_sparsity_rises_to_its_end_and_never_falls(final, one, other):
    config = PruningConfig(final=final, begin=0.1, end=0.8)
    early, late = sorted((one, other))
    assert 0 <= config.sparsity(early) <= config.sparsity(late) + 1e-12 <= final + 1e-9
    assert config.sparsity(0.1) == 0 and config.sparsity(0.8) == pytest.approx(final)


def test_the_schedule_is_the_published_cubic():
    config = PruningConfig(final=0.8, begin=0.0, end=1.0)
    assert config.sparsity(0.5) == pytest.approx(0.8 * (1 - 0.5**3))


def test_the_smallest_weights_go_and_what_is_gone_stays_though_training_moves_it():
    weight = tf.Variable(np.arange(1, 101, dtype=np.float32).reshape(10, 10))
    pruning = MagnitudePruning([weight], 20, PruningConfig(final=0.6, end=0.5, every=2))
    for step in range(1, 21):
        weight.assign_add(tf.ones_like(weight) * 0.1)
        pruning.after(step)
    zero = weight.numpy().ravel() == 0
    assert zero.sum() == 60 and zero[:60].all()
    assert pruning.sparsity == 0.6


def test_sizes_are_those_of_all_files_and_zeroes_pay_in_the_compressed_one(tmp_path):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=4000).astype(np.float32)
    sparse = np.where(np.abs(dense) > 1, dense, 0).astype(np.float32)
    for name, values in (("dense", dense), ("sparse", sparse)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "values").write_bytes(values.tobytes())
    assert stored_bytes(tmp_path / "dense") == stored_bytes(tmp_path / "sparse") == 16_000
    assert gzip_bytes(tmp_path / "sparse") < 0.6 * gzip_bytes(tmp_path / "dense")
    assert gzip_bytes(tmp_path / "dense") == len(gzip.compress(dense.tobytes(), 9, mtime=0))


@pytest.mark.parametrize("wrong", [{"final": 1.0}, {"begin": 0.5, "end": 0.5}, {"every": 0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="PruningConfig"):
        PruningConfig(**wrong)
