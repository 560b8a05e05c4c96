"""The REST side of the model server: the three questions, their errors, and the monitoring page."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rest import call
from tiny_model import expected_scores, recommend_inputs


@pytest.fixture
def rest(world):
    world.add(world.name, 1, 2)
    world.client.reload(world.model(world.name, 1, 2))
    for version in (1, 2):
        world.client.wait_available(world.name, version)
    world.client.reload(world.model(world.name, 1, 2, labels={"stable": 1}))

    def ask(path, body=None):
        return call(world.server.rest_address, f"/v1/models/{world.name}{path}", body)

    ask.world = world
    return ask


SCORE = {
    "signature_name": "score",
    "instances": [
        {"history": ["t1", ""], "context": ["hour=8", "device=phone"], "exclude": [""], "candidates": ["t2", "nobody"]},
        {"history": ["t1", "t3"], "context": ["", ""], "exclude": [""], "candidates": ["t3", "t4"]},
    ],
}


def test_status_of_all_versions_of_one_and_by_label(rest):
    status, answer = rest("")
    assert status == 200
    assert [(item["version"], item["state"]) for item in answer["model_version_status"]] == [
        ("2", "AVAILABLE"),
        ("1", "AVAILABLE"),
    ]
    assert answer["model_version_status"][0]["status"] == {"error_code": "OK", "error_message": ""}
    for path in ("/versions/1", "/labels/stable"):
        assert [item["version"] for item in rest(path)[1]["model_version_status"]] == ["1"]


def test_metadata(rest):
    status, answer = rest("/labels/stable/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": rest.world.name, "signature_name": "", "version": "1"}
    score = answer["metadata"]["signature_def"]["signature_def"]["score"]
    assert score["inputs"]["context"]["dtype"] == "DT_STRING"
    assert score["method_name"] == "tensorflow/serving/predict"


def test_predict_by_row(rest):
    for path, version in (("", 2), ("/versions/1", 1), ("/labels/stable", 1)):
        status, answer = rest(f"{path}:predict", SCORE)
        assert status == 200
        first, second = expected_scores(version, ["t1"]), expected_scores(version, ["t1", "t3"])
        expected = [[first["t2"], -1e9], [second["t3"], second["t4"]]]
        np.testing.assert_allclose(answer["predictions"], expected, rtol=1e-4)


def test_predict_by_column_with_a_scalar(rest):
    columns = {name: value.tolist() for name, value in recommend_inputs([["t1", "t4"]], ["t2"], k=2).items()}
    status, answer = rest("/versions/2:predict", {"signature_name": "recommend", "inputs": columns})
    ranked = sorted(expected_scores(2, ["t1", "t4"], ["t2"]).items(), key=lambda item: -item[1])[:2]
    assert status == 200
    assert answer["outputs"]["track_ids"] == [[track for track, _ in ranked]]
    np.testing.assert_allclose(answer["outputs"]["scores"], [[score for _, score in ranked]], rtol=1e-4)
    columns["history"] = [[{"b64": "dDE="}, "t4"]]
    assert rest("/versions/2:predict", {"signature_name": "recommend", "inputs": columns})[1] == answer


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (":predict", {"signature_name": "guess", "inputs": []}, 400, 'Serving signature name: "guess" not found'),
        (":predict", {"instances": [1]}, 400, "instances is a plain list, but expecting list of objects"),
        (":predict", b"{not json", 400, "JSON Parse error"),
        (":predict", b"", 400, "The document is empty"),
        ("/versions/9:predict", SCORE, 404, r"Servable not found for request: Specific\(.*, 9\)"),
        ("/labels/none:predict", SCORE, 400, "Unrecognized servable version label: none"),
        ("/versions/9", None, 404, "Could not find version 9 of model"),
        ("/versions/9/metadata", None, 404, "Servable not found"),
        ("/versions/x", None, 400, "Malformed request: GET /v1/models/.*/versions/x"),
        (":guess", SCORE, 400, "Malformed request: POST"),
        (":classify", SCORE, 400, "key 'examples' is expected and was not found"),
        (":classify", {"examples": [{"x": 1.0}]}, 400, "Expected classification signature method_name to be"),
        (":regress", {"examples": []}, 400, "'examples' value is an empty array"),
        ("/versions/99999999999999999999", None, 400, "Failed to convert version"),
    ],
)
def test_errors(rest, path, body, status, words):
    got, answer = rest(path, body)
    assert (got, list(answer)) == (status, ["error"])
    assert re.search(words, answer["error"])


def test_unknown_models_and_missing_names(world):
    assert call(world.server.rest_address, "/v1/models/other")[0] == 404
    status, answer = call(world.server.rest_address, "/v1/models")
    assert (status, answer) == (400, {"error": "Missing model name in request."})


def test_monitoring_counts_requests_and_their_time(rest):
    model = rest.world.name
    rest(":predict", SCORE)
    rest(":predict", SCORE)
    rest("/versions/9:predict", SCORE)
    rest.world.client.predict(model, recommend_inputs([["t1"]]))
    status, page = call(rest.world.server.rest_address, "/monitoring/prometheus/metrics")
    assert status == 200
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert values[f':tensorflow:serving:request_count{{model_name="{model}",status="OK"}}'] == "3"
    assert values[f':tensorflow:serving:request_count{{model_name="{model}",status="NOT_FOUND"}}'] == "1"
    for entrypoint, count in (("REST", 2), ("GRPC", 1)):
        labels = f'{{model_name="{model}",API="Predict",entrypoint="{entrypoint}"'
        latency = ":tensorflow:serving:request_latency"
        assert values[f"{latency}_count{labels}}}"] == str(count)
        assert values[f'{latency}_bucket{labels},le="+Inf"}}'] == str(count)
        assert float(values[f"{latency}_sum{labels}}}"]) > 0
        buckets = [int(v) for k, v in values.items() if k.startswith(f"{latency}_bucket{labels},")]
        assert buckets == sorted(buckets)
