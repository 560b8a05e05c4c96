"""What the server answers, whichever way it was asked: the calls that gRPC and REST share."""

from __future__ import annotations

from collections.abc import Callable

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.model_server.errors import invalid_argument
from serving.model_server.inference import run_classify, run_multi_inference, run_regress
from serving.model_server.manager import ModelManager
from serving.model_server.predict import run_predict

SIGNATURE_DEF = "signature_def"


def _asked(manager: ModelManager, request, run: Callable):
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    with manager.servable(request.model_spec) as (version, servable):
        return run(servable, version, request, manager.batcher)


def predict(manager: ModelManager, request) -> predict_pb2.PredictResponse:
    """Answer a `PredictRequest`."""
    return _asked(manager, request, run_predict)


def classify(manager: ModelManager, request) -> classification_pb2.ClassificationResponse:
    """Answer a `ClassificationRequest`."""
    return _asked(manager, request, run_classify)


def regress(manager: ModelManager, request) -> regression_pb2.RegressionResponse:
    """Answer a `RegressionRequest`."""
    return _asked(manager, request, run_regress)


def multi_inference(manager: ModelManager, request) -> inference_pb2.MultiInferenceResponse:
    """Answer a `MultiInferenceRequest`: the version is that of its first task."""
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
    if not request.tasks:
        raise invalid_argument("Inference request must have at least one task")
    with manager.servable(request.tasks[0].model_spec) as (version, servable):
        return run_multi_inference(servable, version, request, manager.batcher)


def model_status(manager: ModelManager, request) -> get_model_status_pb2.GetModelStatusResponse:
    """Answer a `GetModelStatusRequest`: all versions of the model, or the one asked for."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, state, error_code, error_message in manager.status(request.model_spec):
        entry = response.model_version_status.add(version=version, state=int(state))
        entry.status.error_code = error_code
        entry.status.error_message = error_message
    return response


def model_metadata(manager: ModelManager, request) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Answer a `GetModelMetadataRequest`; `signature_def` is the one field there is."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {field} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with manager.servable(request.model_spec) as (version, servable):
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response
