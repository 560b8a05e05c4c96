"""One loaded SavedModel: its signatures, checked inputs, and calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from serving.model_server.errors import failed_precondition, invalid_argument

SERVE_TAG = "serve"
DEFAULT_SIGNATURE = "serving_default"


def read_signature_defs(path: Path) -> dict:
    """The `SignatureDef` messages of the SavedModel at `path`, by name, from its graph with the tag `serve`."""
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((path / "saved_model.pb").read_bytes())
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == {SERVE_TAG}:
            return dict(meta_graph.signature_def)
    raise ValueError(f"{path}/saved_model.pb has no graph tagged {SERVE_TAG!r}: export it with tf.saved_model.save")


def _word(dtype: tf.DType) -> str:
    """A type as TensorFlow's C++ messages call it."""
    return {"float32": "float", "float64": "double"}.get(dtype.name, dtype.name)


def _names(names) -> str:
    return ",".join(sorted(names))


def _check_names(signature, inputs: Mapping[str, np.ndarray]) -> None:
    given, required = set(inputs), set(signature.inputs)
    if given != required:
        raise invalid_argument(
            f"input size does not match signature: {len(given)}!={len(required)} "
            f"len({{{_names(given)}}}) != len({{{_names(required)}}}). "
            f"Sent extra: {{{_names(given - required)}}}. Missing but required: {{{_names(required - given)}}}."
        )


def _check_tensor(name: str, position: int, info, value: np.ndarray) -> None:
    expected, given = tf.as_dtype(info.dtype), tf.as_dtype(value.dtype)
    if given != expected:
        raise invalid_argument(f"Expects arg[{position}] to be {_word(expected)} but {_word(given)} is provided")
    if info.tensor_shape.unknown_rank:
        return
    shape = [dim.size for dim in info.tensor_shape.dim]
    fits = len(shape) == value.ndim and all(want in (-1, have) for want, have in zip(shape, value.shape, strict=True))
    if not fits:
        wanted = ",".join("?" if size == -1 else str(size) for size in shape)
        raise invalid_argument(f"input {name} must have shape [{wanted}] but has shape {list(value.shape)}")


class Servable:
    """A SavedModel ready to be called; calls may run at the same time from several threads."""

    def __init__(self, path: Path):
        """Load the SavedModel at `path`. Raises what TensorFlow raises when it is incomplete or broken."""
        self.path = path
        self.signature_defs = read_signature_defs(path)
        # The object owns the variables: signatures alone would let them be collected.
        self._loaded = tf.saved_model.load(str(path), tags=[SERVE_TAG])
        self._functions = dict(self._loaded.signatures)

    def run(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], output_filter: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """Call a signature ("" = `serving_default`) with numpy inputs; strings are object arrays of bytes.

        Raises FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for inputs that do not fit it.
        """
        name = signature_name or DEFAULT_SIGNATURE
        signature = self.signature_defs.get(name)
        if signature is None or name not in self._functions:
            raise failed_precondition(f'Serving signature key "{name}" not found.')
        _check_names(signature, inputs)
        for position, key in enumerate(sorted(inputs)):
            _check_tensor(key, position, signature.inputs[key], inputs[key])
        wanted = self._wanted_outputs(signature, output_filter)
        feeds = {
            key: tf.constant(value, dtype=tf.as_dtype(signature.inputs[key].dtype)) for key, value in inputs.items()
        }
        answers = self._functions[name](**feeds)
        return {key: answers[key].numpy() for key in wanted}

    @staticmethod
    def _wanted_outputs(signature, output_filter: Sequence[str]) -> list[str]:
        for position, alias in enumerate(output_filter):
            if alias not in signature.outputs:
                raise invalid_argument(
                    f"output tensor alias not found in signature: {alias} "
                    f"Outputs expected to be in the set {{{_names(signature.outputs)}}}."
                )
            if alias in output_filter[:position]:
                raise invalid_argument(f"duplicate output tensor alias: {alias}")
        return list(output_filter) or sorted(signature.outputs)
