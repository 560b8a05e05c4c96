"""Students and pruned forms of the sequential model, on a tiny world; converting them is slow and tested elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from sequences import sequence

from models.compress.pruning import PruningConfig
from models.compress.sequence import SequenceCompression, copied, judged_histories, prune, student_of
from models.evaluation.split import split

CONFIG = SequenceCompression(
    moments=96, epochs=6, history=12, successors=2, pruning=PruningConfig(final=0.3, end=0.3, epochs=6, every=1)
)


@pytest.fixture(scope="module")
def asked():
    """Histories of 40 tracks, newest first, some shorter."""
    rng = np.random.default_rng(0)
    history = rng.integers(0, 40, (96, CONFIG.history)).astype(np.int32)
    return np.where(np.arange(CONFIG.history) < rng.integers(1, CONFIG.history + 1, (96, 1)), history, -1)


@pytest.fixture(scope="module")
def teacher():
    return sequence(40)


def test_a_student_comes_nearer_to_its_teacher_though_it_is_pruned_and_leaves_it_as_it_was(teacher, asked):
    student, before, told = student_of(teacher, CONFIG), teacher.rows.numpy(), []
    assert student.network.config.dim == 4 and student.tables.tracks.shape[-1] == 2
    prune(student, teacher, asked, CONFIG, told.append)
    assert [values["epoch"] for values in told] == [1, 2, 3, 4, 5, 6]
    assert told[-1]["loss"] < 0.95 * told[0]["loss"]
    assert np.mean(student.rows.numpy() == 0) == pytest.approx(CONFIG.pruning.final, abs=0.01)
    np.testing.assert_array_equal(teacher.rows.numpy(), before)


def test_a_copy_answers_alike_and_has_variables_of_its_own(teacher, asked):
    other = copied(teacher)
    np.testing.assert_allclose(other(asked[:4]), teacher(asked[:4]), atol=1e-6)
    assert not {v.ref() for v in other.network.variables} & {v.ref() for v in teacher.network.variables}


def test_listeners_are_asked_for_the_next_play_with_their_latest_first(data):
    _, hold_out = split(data)
    judged = judged_histories(hold_out, 12)
    assert judged.inputs["history"].shape == (len(hold_out), 1, 12)
    assert judged.inputs["history"][3, 0, 0] == hold_out.histories[3][-1]
    assert judged.relevant[3].nonzero()[0].tolist() == [hold_out.truths[3][0]]
