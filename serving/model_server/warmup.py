"""Warm-up: recorded requests are replayed before a version becomes AVAILABLE, so that no user meets a cold graph."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from serving.model_server.errors import invalid_argument
from serving.model_server.servable import Servable

LOGGER = logging.getLogger(__name__)

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000


def replay_warmup(servable: Servable, version: int) -> int:
    """Replay the TFRecord of `PredictionLog` messages beside the model; returns how many (0 when there is none).

    Raises INVALID_ARGUMENT for a record that is no request for inference or one too many, and whatever a request
    raises: a model that cannot answer its own warm-up is not served.
    """
    path = servable.path / WARMUP_FILE
    if not path.exists():
        return 0
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    from serving.model_server.inference import run_classify, run_multi_inference, run_regress
    from serving.model_server.predict import run_predict

    calls = {
        "predict_log": run_predict,
        "classify_log": run_classify,
        "regress_log": run_regress,
        "multi_inference_log": run_multi_inference,
    }
    started, count = time.perf_counter(), 0
    for record in tf.compat.v1.io.tf_record_iterator(str(path)):
        count += 1
        if count > MAX_RECORDS:
            raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError as error:
            raise invalid_argument(f"Failed to parse warmup record {count} from {path}") from error
        kind = log.WhichOneof("log_type")
        if kind not in calls:
            raise invalid_argument(f"Unsupported log_type for warmup: {kind} in {path}")
        calls[kind](servable, version, getattr(log, kind).request)
    LOGGER.info("replayed %d warm-up requests of %s in %.3f s", count, servable.path, time.perf_counter() - started)
    return count
