"""PredictRequest in, PredictResponse out, for one loaded model."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.model_server.errors import invalid_argument
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable


def to_array(name: str, tensor) -> np.ndarray:
    """A `TensorProto` as a numpy array; raises INVALID_ARGUMENT where content and shape do not agree."""
    try:
        return tf.make_ndarray(tensor)
    except (ValueError, TypeError) as error:
        raise invalid_argument(f"tensor parsing error: {name}: {error}") from error


def run_predict(servable: Servable, version: int, request) -> predict_pb2.PredictResponse:
    """Answer a `PredictRequest` with `servable`; the answer's model_spec names the version and the signature."""
    inputs = {name: to_array(name, tensor) for name, tensor in request.inputs.items()}
    outputs = servable.run(request.model_spec.signature_name, inputs, list(request.output_filter))
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.model_spec.signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    for name, value in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return response
