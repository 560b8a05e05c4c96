"""The stand-in against TensorFlow Serving's own test model and the metadata that the real server answered for it."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import numpy as np
import pytest
from rest import call
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.config import ModelConfig, empty_server_config, with_model

NAME = "saved_model_half_plus_two_2_versions"
_PLACES = [folder / "shared/data/tf_serving" for folder in Path(__file__).resolve().parents[2:]]
DATA = next((place for place in _PLACES if place.is_dir()), _PLACES[0])


@pytest.fixture
def half_plus_two(world):
    """The model with both versions loaded and labelled."""
    if not (DATA / NAME).is_dir():
        pytest.skip(f"TensorFlow Serving's test model is not at {DATA}")
    plain = ModelConfig(NAME, str(DATA / NAME), (123, 124))
    world.client.reload(with_model(empty_server_config(), plain))
    for version in (123, 124):
        world.client.wait_available(NAME, version, failed_before=True)
    labelled = ModelConfig(NAME, str(DATA / NAME), (123, 124), {"stable": 123, "canary": 124})
    world.client.reload(with_model(empty_server_config(), labelled))
    return world


def test_metadata_is_what_the_real_server_answers(half_plus_two):
    expected = json.loads((DATA / f"{NAME}_metadata.json").read_text())
    address = half_plus_two.server.rest_address
    assert call(address, f"/v1/models/{NAME}/versions/123/metadata") == (200, expected)
    expected["model_spec"]["version"] = "124"
    assert call(address, f"/v1/models/{NAME}/metadata") == (200, expected)


def test_both_versions_halve_and_add_two_over_grpc(half_plus_two):
    x = np.array([[1.0], [2.0], [5.0]], np.float32)
    for which, version in (({"version": 123}, 123), ({"label": "stable"}, 123), ({"label": "canary"}, 124), ({}, 124)):
        answer = half_plus_two.client.ask(NAME, {"x": x}, **which)
        assert answer.version == version
        np.testing.assert_array_equal(answer.outputs["y"], x / 2 + 2)
    assert {item.version: item.state for item in half_plus_two.client.status(NAME)} == {
        123: "AVAILABLE",
        124: "AVAILABLE",
    }


def test_signatures_made_for_regress_and_classify_answer_predict(half_plus_two):
    x = np.array([[4.0]], np.float32)
    outputs = half_plus_two.client.predict(NAME, {"inputs": x}, "regress_x2_to_y3", version=123)
    np.testing.assert_array_equal(outputs["outputs"], x / 2 + 3)


def test_both_versions_halve_and_add_two_over_rest(half_plus_two):
    address = half_plus_two.server.rest_address
    for which in ("", "/versions/123", "/labels/canary"):
        path = f"/v1/models/{NAME}{which}:predict"
        assert call(address, path, {"instances": [[1.0], [2.0]]}) == (200, {"predictions": [[2.5], [3.0]]})
        assert call(address, path, {"instances": [{"x": [1]}]}) == (200, {"predictions": [[2.5]]})
        assert call(address, path, {"inputs": {"x": [[5.0]]}}) == (200, {"outputs": [[4.5]]})


def example(**features: float) -> example_pb2.Example:
    one = example_pb2.Example()
    for name, value in features.items():
        one.features.feature[name].float_list.value.append(value)
    return one


@pytest.fixture
def stub(half_plus_two):
    """The stub of the official client."""
    with grpc.insecure_channel(half_plus_two.server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def ask(kind, signature: str, *examples, version: int = 123):
    request = kind()
    request.model_spec.name, request.model_spec.signature_name = NAME, signature
    request.model_spec.version.value = version
    request.input.example_list.examples.extend(examples)
    return request


def test_predict_answers_typed_fields_as_the_real_server_does(stub):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    request.inputs["x"].CopyFrom(tensor_pb2.TensorProto(dtype=1, float_val=[1.0, 2.0, 5.0]))
    request.inputs["x"].tensor_shape.dim.add().size = 3
    request.inputs["x"].tensor_shape.dim.add().size = 1
    answer = stub.Predict(request)
    assert list(answer.outputs["y"].float_val) == [2.5, 3.0, 4.5]
    assert [dim.size for dim in answer.outputs["y"].tensor_shape.dim] == [3, 1]
    assert answer.outputs["y"].tensor_content == b""
    assert (answer.model_spec.version.value, answer.model_spec.signature_name) == (124, "serving_default")
    # One value stands for all that are missing.
    del request.inputs["x"].float_val[1:]
    assert list(stub.Predict(request).outputs["y"].float_val) == [2.5, 2.5, 2.5]


def test_classify_and_regress_of_examples(stub):
    regressed = stub.Regress(ask(regression_pb2.RegressionRequest, "regress_x_to_y", example(x=2), example(x=5)))
    assert [one.value for one in regressed.result.regressions] == [3.0, 4.5]
    assert (regressed.model_spec.version.value, regressed.model_spec.signature_name) == (123, "regress_x_to_y")
    classified = stub.Classify(ask(classification_pb2.ClassificationRequest, "classify_x_to_y", example(x=2)))
    assert [(c.label, c.score) for row in classified.result.classifications for c in row.classes] == [("", 3.0)]

    with_context = ask(regression_pb2.RegressionRequest, "regress_x_to_y")
    with_context.input.example_list_with_context.context.CopyFrom(example(x=4))
    with_context.input.example_list_with_context.examples.extend([example(), example(x=6)])
    assert [one.value for one in stub.Regress(with_context).result.regressions] == [4.0, 5.0]


def test_multi_inference(stub):
    request = inference_pb2.MultiInferenceRequest()
    request.input.example_list.examples.append(example(x=2))
    for signature, method in (("regress_x_to_y", "regress"), ("classify_x_to_y", "classify")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = NAME, signature
    regressed, classified = stub.MultiInference(request).results
    assert regressed.regression_result.regressions[0].value == 3.0
    assert classified.classification_result.classifications[0].classes[0].score == 3.0
    assert regressed.model_spec.version.value == 124
    request.tasks[1].model_spec.signature_name = "regress_x_to_y"
    with pytest.raises(grpc.RpcError, match="Duplicate evaluation of signature: regress_x_to_y"):
        stub.MultiInference(request)
    request.tasks[1].method_name = request.tasks[1].model_spec.signature_name = "other"
    with pytest.raises(grpc.RpcError, match="Requested signature not found in model graph: other"):
        stub.MultiInference(request)


@pytest.mark.parametrize(
    ("signature", "examples", "code", "words"),
    [
        ("none", 1, "INVALID_ARGUMENT", "No signature was found with the name: none"),
        ("", 1, "INVALID_ARGUMENT", "method_name to be tensorflow/serving/regress. Was: tensorflow/serving/predict"),
        ("classify_x_to_y", 1, "INVALID_ARGUMENT", "Was: tensorflow/serving/classify"),
        ("regress_x_to_y", 0, "INVALID_ARGUMENT", "Input is empty."),
    ],
)
def test_what_regress_refuses(stub, signature, examples, code, words):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Regress(ask(regression_pb2.RegressionRequest, signature, *[example(x=1)] * examples))
    assert (caught.value.code().name, words in caught.value.details()) == (code, True), caught.value.details()


def test_examples_without_the_feature_are_told_so(stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Regress(ask(regression_pb2.RegressionRequest, "regress_x_to_y", example(y=1)))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Feature: x (data type: float) is required but could not be found." in caught.value.details()


def test_classify_and_regress_over_rest(half_plus_two):
    address, model = half_plus_two.server.rest_address, f"/v1/models/{NAME}"
    body = {"signature_name": "regress_x_to_y", "examples": [{"x": 2.0}, {"x": [5.0]}]}
    assert call(address, f"{model}:regress", body) == (200, {"results": [3.0, 4.5]})
    assert call(address, f"{model}/labels/canary:regress", {**body, "context": {"x": 4.0}, "examples": [{}]}) == (
        200,
        {"results": [4.0]},
    )
    body["signature_name"] = "classify_x_to_y"
    assert call(address, f"{model}/versions/123:classify", body) == (200, {"results": [[["", 3.0]], [["", 4.5]]]})
    status, answer = call(address, f"{model}:classify", {**body, "examples": [{"x": [1, "a"]}]})
    assert (status, answer["error"]) == (400, "Unexpected element type in feature: x expecting type: int64")


def test_a_graph_with_labels_and_text_of_tensorflow_1(world, tmp_path):
    write_tf1_classifier(tmp_path / "labels" / "1")
    part = ModelConfig("labels", str(tmp_path / "labels"), (1,))
    world.client.reload(with_model(empty_server_config(), part))
    body = {"examples": [{"words": ["a", "b"]}, {"words": [{"b64": "/w=="}, "b"]}]}
    status, answer = call(world.server.rest_address, "/v1/models/labels:classify", body)
    assert (status, answer) == (200, {"results": [[["first", 1.0], ["second", 2.0]]] * 2})
    echoed = world.client.predict("labels", {"words": np.array([[b"\xff", b""]], object)}, "echo")
    assert echoed["words"].tolist() == [[b"\xff", b""]]


def write_tf1_classifier(folder: Path) -> None:
    """A graph of TensorFlow 1: parsed examples, a table initialised from an asset, labels with scores; and an echo."""
    import tensorflow as tf

    v1 = tf.compat.v1
    names = folder.parent.parent / "names.txt"
    names.write_text("first\nsecond\n")
    with tf.Graph().as_default(), v1.Session() as session:
        serialised = v1.placeholder(tf.string, [None])
        words = v1.placeholder(tf.string, [None, 2])
        parsed = v1.parse_example(serialised, {"words": v1.FixedLenFeature([2], tf.string)})["words"]
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(str(names), tf.int64, -1, tf.string, -2), "unknown"
        )
        weights = v1.get_variable("weights", initializer=[1.0, 2.0])
        rows = tf.shape(parsed)[0]
        labels = tf.tile(table.lookup(tf.constant([[0, 1]], tf.int64)), [rows, 1])
        info = v1.saved_model.build_tensor_info
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": v1.saved_model.build_signature_def(
                    {"inputs": info(serialised)},
                    {"classes": info(labels), "scores": info(tf.tile(weights[None], [rows, 1]))},
                    "tensorflow/serving/classify",
                ),
                "echo": v1.saved_model.build_signature_def(
                    {"words": info(words)}, {"words": info(tf.identity(words))}, "tensorflow/serving/predict"
                ),
            },
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
        )
        builder.save()
    names.unlink()
