"""Conditions of a SavedModel whose branches are called as functions.

TensorFlow weaves both branches of a condition into the graph around it, to be free to run operations of several side by
side. Of an answer that takes milliseconds on one thread this is a loss: the branch that is not taken is still walked
through, and thousands of small operations are handed on with more ado than within a function.
"""

from __future__ import annotations

from pathlib import Path

_LOWERED = "_lower_using_switch_merge"


def call_branches(saved_model: Path) -> int:
    """Mark every condition of the SavedModel in this folder; -> how many there are."""
    from tensorflow.core.protobuf import saved_model_pb2

    path, content = Path(saved_model) / "saved_model.pb", saved_model_pb2.SavedModel()
    content.ParseFromString(path.read_bytes())
    found = 0
    for graph in (meta.graph_def for meta in content.meta_graphs):
        for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
            for node in nodes:
                if node.op in ("If", "StatelessIf"):
                    node.attr[_LOWERED].b = False
                    found += 1
    path.write_bytes(content.SerializeToString(deterministic=True))
    return found
