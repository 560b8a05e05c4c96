"""Requests TensorFlow Serving replays when it loads a version, so that the first listener does not wait for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

WARMUP = "assets.extra/tf_serving_warmup_requests"
LENGTHS = (0, 1, 10, 50)
INPUTS = {  # of a signature
    "recommend": ("history", "exclude", "context", "k"),
    "rank": ("history", "exclude", "context", "candidates", "k"),
    "encode": ("history", "context"),
}


def write_warmup(
    saved_model: Path, name: str, track_ids: Sequence[str], signatures: Collection[str] = ("recommend",)
) -> Path:
    """Write the file, a TFRecord of ``PredictionLog``, into a SavedModel folder: requests of single listeners, of those
    of ``signatures`` that answer them (:data:`INPUTS`)."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    path = Path(saved_model) / WARMUP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature in filter(signatures.__contains__, INPUTS):
            for length in LENGTHS:
                history = np.resize(np.asarray(track_ids, dtype=object), length).tolist()
                request = warmup_request(name, history, signature)
                record = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(record.SerializeToString())
    return path


def warmup_request(name: str, history: Sequence[str], signature: str = "recommend", k: int = 10):
    """A ``PredictRequest`` for one listener, history excluded, context unknown, no further candidates."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    plays = np.asarray([list(history)], dtype=object).reshape(1, len(history))
    inputs = {
        "history": tf.make_tensor_proto(plays, tf.string, plays.shape),
        "exclude": tf.make_tensor_proto(plays, tf.string, plays.shape),
        "context": tf.make_tensor_proto([[""]], tf.string),
        "candidates": tf.make_tensor_proto([[""]], tf.string),
        "k": tf.make_tensor_proto(k, tf.int32),
    }
    for key in INPUTS[signature]:
        request.inputs[key].CopyFrom(inputs[key])
    return request
