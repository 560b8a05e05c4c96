"""A client of the TensorFlow Serving protocol over gRPC; the stand-in and the real server are the same to it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from serving.answers import AVAILABLE, END, PENDING, Prediction, VersionStatus, tensor_specs
from serving.errors import ModelFailed, ModelLoading, ModelNotServed, ModelServerError, ServerUnreachable, translate
from serving.model_server.values import Value

if TYPE_CHECKING:
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server that was restarted is met again within half a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
# How long a call waits for a connection that was lost, before it says that nothing answers.
_RECONNECT_S = 0.8


class ModelClient:
    """Calls to one model server; may be shared between threads. Use it in a `with`, or `close` it.

    Args:
        address: host:port of the gRPC side.
        timeout: seconds a call may take unless it says otherwise.
    """

    def __init__(self, address: str, timeout: float = 10.0):
        self.address, self.timeout = address, timeout
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stubs: dict[str, Any] = {}
        self._connected = False

    def __enter__(self) -> ModelClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    # Questions to a model

    def predict(
        self,
        name: str,
        inputs: Mapping[str, Any],
        signature: str = "",
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature ("" = `serving_default`) of a model; latest version unless one is named."""
        return self.ask(name, inputs, signature, version=version, label=label, timeout=timeout).outputs

    def ask(
        self,
        name: str,
        inputs: Mapping[str, Any],
        signature: str = "",
        *,
        version: int | None = None,
        label: str | None = None,
        output_filter: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Prediction:
        """As `predict`, with the version that answered."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest(output_filter=list(output_filter))
        self._fill_spec(request.model_spec, name, version, label)
        request.model_spec.signature_name = signature
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        try:
            response = self._call("Predict", request, timeout)
        except ModelNotServed as error:
            raise self._if_loading(error, name, version) from error
        outputs = {key: Value.read(value).numpy().copy() for key, value in response.outputs.items()}
        return Prediction(response.model_spec.version.value, response.model_spec.signature_name, outputs)

    def metadata(self, name: str, *, version: int | None = None, label: str | None = None) -> dict[str, Any]:
        """{"version": int, "signatures": {name: {"inputs": {name: (dtype, shape)}, "outputs": ...}}} of a model.

        Shapes are lists with None for a free dimension; None for a free rank.
        """
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill_spec(request.model_spec, name, version, label)
        response = self._call("GetModelMetadata", request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {
            "version": response.model_spec.version.value,
            "signatures": {
                key: {"inputs": tensor_specs(value.inputs), "outputs": tensor_specs(value.outputs)}
                for key, value in signatures.signature_def.items()
            },
        }

    # State of the server

    def is_up(self, timeout: float = 2.0) -> bool:
        """Whether a model server answers at the address."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "soundlake-probe"
        try:
            self._call("GetModelStatus", request, timeout)
        except ModelServerError as error:
            return not isinstance(error, ServerUnreachable) and error.code is not grpc.StatusCode.UNIMPLEMENTED
        return True

    def status(self, name: str) -> list[VersionStatus]:
        """States of all versions the server has heard of, highest first; empty when it knows no such model."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        try:
            response = self._call("GetModelStatus", request)
        except ModelNotServed:
            return []
        names = get_model_status_pb2.ModelVersionStatus.State
        return [
            VersionStatus(item.version, names.Name(item.state), item.status.error_code, item.status.error_message)
            for item in response.model_version_status
        ]

    def available_versions(self, name: str) -> set[int]:
        """The versions that answer now."""
        return {item.version for item in self.status(name) if item.state == AVAILABLE}

    def reload(self, config: ModelServerConfig, timeout: float = 120.0) -> None:
        """Give the server a new configuration; raises `ModelServerError` with its reason when it refuses.

        Returns before versions of a model known already are loaded: call `wait_available`.
        """
        from tensorflow_serving.apis import model_management_pb2

        request = model_management_pb2.ReloadConfigRequest(config=config)
        response = self._call("HandleReloadConfigRequest", request, timeout)
        if response.status.error_code:
            code = next(c for c in grpc.StatusCode if c.value[0] == response.status.error_code)
            raise ModelServerError(self.address, code, f"{self.address}: {response.status.error_message}")

    def wait_available(
        self, name: str, version: int, timeout: float = 120.0, *, failed_before: bool = False, settle_s: float = 30.0
    ) -> None:
        """Wait until a version is AVAILABLE.

        Raises `ModelFailed` when the server gives up on it, `ServerUnreachable` when time runs out. With
        `failed_before` (the version had ended before it was asked for again) an END counts only after another
        state was seen, or after `settle_s` seconds: the server notices a configuration at its next poll, and its loader
        gives way to requests, which may take seconds while they fill all cores.
        """
        started, fresh = time.monotonic(), not failed_before
        last = "not known to the server"
        while True:
            found = next((item for item in self.status(name) if item.version == version), None)
            elapsed = time.monotonic() - started
            if found is not None:
                if found.state == AVAILABLE:
                    return
                fresh = fresh or found.state in PENDING
                if found.state == END and (fresh or elapsed > settle_s) and (found.error_code or elapsed > settle_s):
                    reason = found.error_message or "it was unloaded"
                    raise ModelFailed(
                        self.address,
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"{self.address} could not load version {version} of {name}: {reason}",
                    )
                last = found.state
            if elapsed > timeout:
                raise ServerUnreachable(
                    self.address,
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"version {version} of {name} is not available at {self.address} after {timeout:g} s "
                    f"(last state: {last}): read the server's log",
                )
            time.sleep(0.02 if elapsed < 1 else 0.2)

    # Wire

    @staticmethod
    def _fill_spec(spec, name: str, version: int | None, label: str | None) -> None:
        if version is not None and label is not None:
            raise ValueError(f"model {name}: name a version ({version}) or a label ({label!r}), not both")
        spec.name = name
        if version is not None:
            spec.version.value = version
        if label is not None:
            spec.version_label = label

    def _call(self, method: str, request, timeout: float | None = None):
        call, timeout = self._stub(method), timeout or self.timeout
        try:
            response = call(request, timeout=timeout)
            self._connected = True
            return response
        except grpc.RpcError as error:
            unavailable = error.code() is grpc.StatusCode.UNAVAILABLE
            reached_before, self._connected = self._connected, self._connected or not unavailable
            if not (unavailable and reached_before):
                raise translate(self.address, error) from error
            lost = error
        # The connection may be that of a server that has been restarted since. Every call here may be repeated.
        try:
            grpc.channel_ready_future(self._channel).result(timeout=min(timeout, _RECONNECT_S))
            return call(request, timeout=timeout)
        except grpc.FutureTimeoutError:
            raise translate(self.address, lost) from lost
        except grpc.RpcError as error:
            raise translate(self.address, error) from error

    def _stub(self, method: str):
        if not self._stubs:
            from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

            prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
            model = model_service_pb2_grpc.ModelServiceStub(self._channel)
            self._stubs = {
                "Predict": prediction.Predict,
                "GetModelMetadata": prediction.GetModelMetadata,
                "GetModelStatus": model.GetModelStatus,
                "HandleReloadConfigRequest": model.HandleReloadConfigRequest,
            }
        return self._stubs[method]

    def _if_loading(self, error: ModelNotServed, name: str, version: int | None) -> ModelNotServed:
        """`ModelLoading` instead of `error` when what was asked for is on its way."""
        try:
            states = [item for item in self.status(name) if version in (None, item.version)]
        except ModelServerError:
            return error
        if any(item.state in PENDING for item in states):
            return ModelLoading(
                self.address, grpc.StatusCode.UNAVAILABLE, f"{self.address}: model {name} is still being loaded"
            )
        return error
