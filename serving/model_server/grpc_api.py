"""The gRPC side: PredictionService and ModelService."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from serving.model_server import core
from serving.model_server.configuration import read_reload_request
from serving.model_server.errors import ServingError, as_serving_error
from serving.model_server.manager import ModelManager
from serving.model_server.metrics import Metrics

LOGGER = logging.getLogger(__name__)


def _answer(call, manager: ModelManager, request, context):
    """Run `call` and turn its errors into a gRPC status."""
    try:
        return call(manager, request)
    except Exception as error:
        failure = as_serving_error(error)
        context.abort(failure.code, failure.message)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def __init__(self, manager: ModelManager, metrics: Metrics):
        self._manager, self._metrics = manager, metrics

    def Predict(self, request, context):  # noqa: N802 - the names are the protocol's
        """Run one signature of one model."""
        return self._measured("Predict", core.predict, request, request.model_spec.name, context)

    def Classify(self, request, context):  # noqa: N802
        """Classify examples."""
        return self._measured("Classify", core.classify, request, request.model_spec.name, context)

    def Regress(self, request, context):  # noqa: N802
        """Regress examples."""
        return self._measured("Regress", core.regress, request, request.model_spec.name, context)

    def MultiInference(self, request, context):  # noqa: N802
        """Several signatures of one model, of the same examples."""
        name = request.tasks[0].model_spec.name if request.tasks else ""
        return self._measured("MultiInference", core.multi_inference, request, name, context)

    def GetModelMetadata(self, request, context):  # noqa: N802
        """The signatures of a model."""
        return _answer(core.model_metadata, self._manager, request, context)

    def _measured(self, api: str, call, request, model: str, context):
        started, status = time.perf_counter(), "OK"
        try:
            if not context.is_active():
                raise ServingError(grpc.StatusCode.CANCELLED, "the caller gave up while the request waited its turn")
            return call(self._manager, request)
        except Exception as error:
            failure = as_serving_error(error)
            status = failure.code.name
            context.abort(failure.code, failure.message)
        finally:
            self._metrics.record(model, api, "GRPC", status, time.perf_counter() - started)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, manager: ModelManager):
        self._manager = manager

    def GetModelStatus(self, request, context):  # noqa: N802
        """States of the versions of a model."""
        return _answer(core.model_status, self._manager, request, context)

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        """Take a new configuration; returns when models new in it are AVAILABLE."""
        response = model_management_pb2.ReloadConfigResponse()
        try:
            self._manager.reload(read_reload_request(request), keep_waiting=context.is_active)
        except Exception as error:
            failure = as_serving_error(error)
            LOGGER.error("ReloadConfig failed: %s", failure.message)
            context.abort(failure.code, failure.message)
        return response


def start_grpc(manager: ModelManager, metrics: Metrics, host: str, port: int, workers: int) -> tuple[grpc.Server, int]:
    """Start the gRPC server; returns it with its port (chosen by the system when `port` is 0)."""
    server = grpc.server(
        ThreadPoolExecutor(max_workers=workers, thread_name_prefix="grpc"),
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # Two servers on one port would answer in turn.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(manager, metrics), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(manager), server)
    bound = server.add_insecure_port(f"{host}:{port}")
    server.start()
    return server, bound
