"""Tensors of a request and its answer in TensorFlow Serving's protocol, without TensorFlow's own conversions.

``tf.make_tensor_proto`` and ``tf.make_ndarray`` look at every type there is; a request needs text and one number, and
this is several times quicker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.model_server.values import BOOL, DOUBLE, FLOAT, INT32, INT64, STRING, Value

if TYPE_CHECKING:
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

_ANSWERED = (FLOAT, DOUBLE, INT32, STRING, INT64, BOOL)


def fill(request: PredictRequest, inputs: Mapping[str, Any]) -> None:
    """Put ``inputs`` into the request: object arrays of text, or whole numbers (int32)."""
    for name, value in inputs.items():
        tensor = request.inputs[name]
        if isinstance(value, np.ndarray) and value.dtype == object:
            tensor.dtype = STRING
            for size in value.shape:
                tensor.tensor_shape.dim.add().size = size
            tensor.string_val.extend([text.encode("utf-8", "surrogatepass") for text in value.reshape(-1).tolist()])
        else:
            tensor.dtype = INT32
            tensor.tensor_shape.SetInParent()
            tensor.int_val.append(int(value))


def array(tensor: Any) -> np.ndarray:
    """A ``TensorProto`` as an array; text as an object array of bytes. Raises ValueError for a type that no answer has.

    As the protocol allows: raw bytes, or a list of values whose last one stands for all that are missing.
    """
    if tensor.dtype not in _ANSWERED:
        raise ValueError(f"a tensor of type {tensor.dtype} in an answer; text, float, double, int and bool are known")
    return Value.read(tensor).numpy()
