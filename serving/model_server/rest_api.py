"""The REST side: status, metadata, predict, and the page Prometheus scrapes."""

from __future__ import annotations

import logging
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from serving.model_server import core
from serving.model_server.errors import ServingError, as_serving_error, invalid_argument
from serving.model_server.json_input import parse_body, read_inputs
from serving.model_server.json_output import error_json, message_json, metadata_json, predictions_json
from serving.model_server.manager import ModelManager
from serving.model_server.metrics import Metrics
from serving.model_server.servable import DEFAULT_SIGNATURE

LOGGER = logging.getLogger(__name__)

METRICS_PATH = "/monitoring/prometheus/metrics"
_WHICH = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_POST = re.compile(r"/v1/models/(?P<name>[^/:]+)" + _WHICH + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(r"/v1/models(?:/(?P<name>[^/:]+))?" + _WHICH + r"(?:/(?P<metadata>metadata))?", re.IGNORECASE)


def _model_spec(match: re.Match) -> model_pb2.ModelSpec:
    if not match["name"]:
        raise invalid_argument("Missing model name in request.")
    spec = model_pb2.ModelSpec(name=unquote(match["name"]))
    if match["version"]:
        if int(match["version"]) >= 2**63:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(match["version"])
    elif match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


def rest_predict(manager: ModelManager, spec: model_pb2.ModelSpec, body: bytes) -> str:
    """Answer a predict request given as JSON."""
    document = parse_body(body)
    name = document.get("signature_name") or DEFAULT_SIGNATURE
    with manager.servable(spec) as (_, servable):
        signature = servable.signature_defs.get(name)
        if signature is None:
            raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
        if not signature.inputs:
            raise invalid_argument(f"Failed to get input map for signature: {name}")
        dtypes = {key: tf.as_dtype(info.dtype).as_numpy_dtype for key, info in signature.inputs.items()}
        inputs, rows = read_inputs(document, dtypes)
        return predictions_json(servable.run(name, inputs), rows)


def rest_get(manager: ModelManager, path: str) -> str:
    """Answer a status or metadata request."""
    match = _GET.fullmatch(path)
    if match is None:
        raise invalid_argument(f"Malformed request: GET {path}")
    spec = _model_spec(match)
    if match["metadata"]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=[core.SIGNATURE_DEF])
        return metadata_json(core.model_metadata(manager, request))
    return message_json(core.model_status(manager, get_model_status_pb2.GetModelStatusRequest(model_spec=spec)))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    manager: ModelManager
    metrics: Metrics

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        path = urlsplit(self.path).path
        if path == METRICS_PATH:
            self._send(200, self.metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
            return
        self._reply(lambda: rest_get(self.manager, path))

    def do_POST(self) -> None:  # noqa: N802
        path = urlsplit(self.path).path
        if self.headers.get("Content-Length") is None:
            self.close_connection = True
            self._send(411, error_json("Content-Length is missing: chunked requests are not read"))
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match = _POST.fullmatch(path)
        if match is None:
            self._reply(self._malformed)
            return
        started = time.perf_counter()
        status = self._reply(lambda: self._predict(match, body))
        self.metrics.record(unquote(match["name"]), "Predict", "REST", status, time.perf_counter() - started)

    def _malformed(self) -> str:
        raise invalid_argument(f"Malformed request: {self.command} {self.path}")

    def _predict(self, match: re.Match, body: bytes) -> str:
        if match["method"].lower() != "predict":
            raise ServingError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"{match['method']} is not answered by this server: use predict on the same signature",
            )
        return rest_predict(self.manager, _model_spec(match), body)

    def _reply(self, call) -> str:
        """Send what `call` returns, or its error; returns the name of the status."""
        try:
            body = call()
        except Exception as error:
            failure = as_serving_error(error)
            self._send(failure.http_status, error_json(failure.message))
            return failure.code.name
        self._send(200, body)
        return "OK"

    def _send(self, status: int, body: str, content_type: str = "application/json") -> None:
        payload = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args) -> None:  # noqa: A002 - the name is http.server's
        LOGGER.debug(format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 refuses connections when many clients start at once.
    request_queue_size = 128


def start_rest(manager: ModelManager, metrics: Metrics, host: str, port: int) -> tuple[ThreadingHTTPServer, int]:
    """Start the REST server in a thread; returns it with its port (chosen by the system when `port` is 0)."""
    handler = type("Handler", (_Handler,), {"manager": manager, "metrics": metrics})
    server = _Server((host, port), handler)
    threading.Thread(target=server.serve_forever, name="rest", daemon=True).start()
    return server, server.server_address[1]
