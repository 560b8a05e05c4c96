"""The REST side: status, metadata, predict, classify, regress, and the page Prometheus scrapes."""

from __future__ import annotations

import logging
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.model_server import core
from serving.model_server.errors import as_serving_error, invalid_argument
from serving.model_server.json_examples import classification_json, fill_examples, regression_json
from serving.model_server.json_input import parse_body, read_inputs
from serving.model_server.json_output import error_json, message_json, metadata_json, predictions_json
from serving.model_server.manager import ModelManager
from serving.model_server.metrics import Metrics
from serving.model_server.predict import predict_values
from serving.model_server.signatures import DEFAULT_SIGNATURE
from serving.model_server.values import NUMPY, Value

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
    request = predict_pb2.PredictRequest(model_spec=spec)
    name = request.model_spec.signature_name = document.get("signature_name") or DEFAULT_SIGNATURE
    with manager.servable(spec) as (_, servable):
        signature = servable.signature_defs.get(name)
        if signature is None:
            raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
        if not signature.inputs:
            raise invalid_argument(f"Failed to get input map for signature: {name}")
        dtypes = {key: NUMPY.get(info.dtype) for key, info in signature.inputs.items()}
        inputs, rows = read_inputs(document, dtypes)
        for key, array in inputs.items():
            Value.of(array).write(request.inputs[key])
        outputs = predict_values(servable, request, manager.batcher)
    return predictions_json({key: value.numpy() for key, value in outputs.items()}, rows)


def rest_classify(manager: ModelManager, spec: model_pb2.ModelSpec, body: bytes) -> str:
    """Answer a classify request given as JSON."""
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    fill_examples(request, body)
    return classification_json(core.classify(manager, request).result)


def rest_regress(manager: ModelManager, spec: model_pb2.ModelSpec, body: bytes) -> str:
    """Answer a regress request given as JSON."""
    request = regression_pb2.RegressionRequest(model_spec=spec)
    fill_examples(request, body)
    return regression_json(core.regress(manager, request).result)


_METHODS = {"predict": rest_predict, "classify": rest_classify, "regress": rest_regress}


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
        method = match["method"].lower()
        status = self._reply(lambda: _METHODS[method](self.manager, _model_spec(match), body))
        self.metrics.record(unquote(match["name"]), method.capitalize(), "REST", status, time.perf_counter() - started)

    def _malformed(self) -> str:
        raise invalid_argument(f"Malformed request: {self.command} {self.path}")

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
