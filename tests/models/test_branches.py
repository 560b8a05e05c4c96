"""Conditions of a SavedModel are called; it answers as before."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from models.branches import call_branches


class Chooses(tf.Module):
    """Twice or half of x, and of what is larger than 100 nothing, by a condition within a condition."""

    def __init__(self):
        super().__init__()
        self.factor = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None])])
    def __call__(self, x):
        def twice():
            return tf.cond(tf.reduce_max(x) > 100, lambda: x * 0.0, lambda: x * self.factor)

        return tf.cond(tf.reduce_sum(x) > 0, twice, lambda: x / self.factor)


def marks(folder) -> list[bool]:
    content = saved_model_pb2.SavedModel()
    content.ParseFromString((folder / "saved_model.pb").read_bytes())
    library = content.meta_graphs[0].graph_def.library.function
    return [n.attr["_lower_using_switch_merge"].b for f in library for n in f.node_def if n.op in ("If", "StatelessIf")]


def test_all_are_marked_and_the_answers_stay(tmp_path):
    tf.saved_model.save(Chooses(), str(tmp_path))
    assert all(marks(tmp_path))
    assert call_branches(tmp_path) == len(marks(tmp_path)) == 2
    assert not any(marks(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for x, right in (([1.0, 2.0], [2.0, 4.0]), ([-4.0], [-2.0]), ([101.0], [0.0])):
        assert loaded(tf.constant(x)).numpy().tolist() == right
