"""The model server over gRPC: answers, versions, labels, and errors in the real server's words."""

from __future__ import annotations

import shutil
import threading

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2
from tiny_model import expected_scores, recommend_inputs, write_warmup

from serving.answers import as_text
from serving.errors import ModelFailed, ModelNotServed, ModelServerError
from serving.model_server.grpc_api import PredictionService
from serving.model_server.metrics import Metrics


@pytest.fixture
def served(world):
    world.add(world.name, 1, 2)
    world.client.reload(world.model(world.name, 1, 2))
    for version in (1, 2):
        world.client.wait_available(world.name, version)
    return world


def best(version, history, exclude=(), k=3):
    ranked = sorted(expected_scores(version, history, exclude).items(), key=lambda item: -item[1])[:k]
    return [track for track, _ in ranked], [score for _, score in ranked]


def test_each_version_gives_its_own_answer_and_the_latest_is_the_default(served):
    for version, asked in ((1, 1), (2, 2), (2, None)):
        answer = served.client.ask(served.name, recommend_inputs([["t1", "t4"]], ["t2"]), "recommend", version=asked)
        tracks, scores = best(version, ["t1", "t4"], ["t2"])
        assert (answer.version, answer.signature) == (version, "recommend")
        assert as_text(answer.outputs["track_ids"]).tolist() == [tracks]
        np.testing.assert_allclose(answer.outputs["scores"], [scores], atol=1e-5)


def test_output_filter_returns_only_what_was_asked(served):
    answer = served.client.ask(served.name, recommend_inputs([["t1"]]), output_filter=["scores"])
    assert list(answer.outputs) == ["scores"]
    assert answer.signature == "serving_default"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda inputs: inputs.pop("context"),
            r"input size does not match signature: 3!=4 .*Missing but required: {context}",
        ),
        (lambda inputs: inputs.update(age=np.int32(1)), r"5!=4 .*Sent extra: {age}. Missing but required: {}"),
        (lambda inputs: inputs.update(k=np.float32(1.5)), r"to be int32 but float is provided"),
        (
            lambda inputs: inputs.update(context=np.array(["hour=8"], object)),
            r"input context must have shape \[\?,\?\]",
        ),
    ],
)
def test_inputs_that_do_not_fit_the_signature(served, change, words):
    inputs = recommend_inputs([["t1"]])
    change(inputs)
    with pytest.raises(ModelServerError, match=words) as caught:
        served.client.predict(served.name, inputs)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert served.server.address in str(caught.value)


def test_unknown_names_are_errors(served):
    inputs = recommend_inputs([["t1"]])
    with pytest.raises(ModelNotServed, match=r"Servable not found for request: Specific\(tiny-\d+, 7\)"):
        served.client.predict(served.name, inputs, version=7)
    with pytest.raises(ModelNotServed, match=r"Servable not found for request: Latest\(other\)"):
        served.client.predict("other", inputs)
    with pytest.raises(ModelServerError, match="Unrecognized servable version label: stable") as caught:
        served.client.predict(served.name, inputs, label="stable")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(ModelServerError, match='Serving signature key "guess" not found') as caught:
        served.client.predict(served.name, inputs, "guess")
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(ModelServerError, match="output tensor alias not found in signature: age"):
        served.client.ask(served.name, inputs, output_filter=["age"])


def test_metadata_names_the_signatures(served):
    metadata = served.client.metadata(served.name, version=1)
    assert metadata["version"] == 1
    assert {"recommend", "score", "explain", "serving_default"} <= set(metadata["signatures"])
    assert metadata["signatures"]["recommend"]["inputs"]["k"] == ("int32", [])
    assert metadata["signatures"]["recommend"]["inputs"]["history"] == ("string", [None, None])


def test_labels_only_for_versions_that_are_available(served):
    served.add(served.name, 3)
    config = served.model(served.name, 1, 2, labels={"stable": 1})
    served.client.reload(config)
    assert served.client.ask(served.name, recommend_inputs([["t1"]]), label="stable").version == 1

    # A label that moves must wait, even where labels for new versions are allowed at the start.
    with pytest.raises(ModelServerError, match="assign label to version 3 .* not currently available") as caught:
        served.client.reload(served.model(served.name, 1, 2, 3, labels={"stable": 3}))
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert served.client.ask(served.name, recommend_inputs([["t1"]]), label="stable").version == 1
    assert served.client.available_versions(served.name) == {1, 2}


def test_reload_refuses_wrong_configurations_and_keeps_the_old(served):
    twice = served.model(served.name, 1)
    twice.model_config_list.config.append(twice.model_config_list.config[0])
    with pytest.raises(ModelServerError, match="Illegal to list model tiny-.* multiple times"):
        served.client.reload(twice)
    other = served.model(served.name, 1)
    other.model_config_list.config[0].model_platform = "caffe"
    with pytest.raises(ModelServerError, match="requests unsupported platform caffe"):
        served.client.reload(other)
    assert served.client.available_versions(served.name) == {1, 2}


@pytest.mark.parametrize("harm", ["truncated graph", "missing variables", "empty folder"])
def test_a_broken_version_ends_with_its_reason_and_the_old_one_serves_on(world, harm):
    world.add(world.name, 1, 2)
    world.client.reload(world.model(world.name, 1))
    broken = world.base / world.name / "2"
    if harm == "truncated graph":
        graph = (broken / "saved_model.pb").read_bytes()
        (broken / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
    elif harm == "missing variables":
        shutil.rmtree(broken / "variables")
    else:
        shutil.rmtree(broken)
        broken.mkdir()
    world.client.reload(world.model(world.name, 2))
    with pytest.raises(ModelFailed, match="could not load version 2 of tiny-"):
        world.client.wait_available(world.name, 2)
    status = {item.version: item for item in world.client.status(world.name)}
    assert status[2].state == "END" and status[2].error_code and status[2].error_message
    assert world.client.ask(world.name, recommend_inputs([["t1"]])).version == 1


def test_a_new_model_that_does_not_load_is_an_error_of_the_reload(world):
    (world.base / world.name / "1").mkdir(parents=True)
    with pytest.raises(ModelServerError, match=r"1 model\(s\) did not become available") as caught:
        world.client.reload(world.model(world.name, 1))
    assert caught.value.code is grpc.StatusCode.UNKNOWN


def test_new_versions_are_found_by_polling_and_temporary_folders_are_not(world):
    world.add(world.name, 1)
    shutil.copytree(world.exported / "3", world.base / world.name / "tmp-3")
    shutil.copytree(world.exported / "3", world.base / world.name / "3.partial")
    world.client.reload(world.model(world.name, policy="latest"))
    world.add(world.name, 2)
    world.client.wait_available(world.name, 2)
    assert {item.version for item in world.client.status(world.name)} == {1, 2}


def test_padded_folder_names_are_plain_numbers(world):
    world.add(world.name, 1)
    (world.base / world.name / "1").rename(world.base / world.name / "00000001")
    world.client.reload(world.model(world.name, policy="all"))
    assert world.client.available_versions(world.name) == {1}


def test_warm_up_is_replayed_before_a_version_serves(world):
    world.add(world.name, 1, 2)
    log = world.server.log_file
    world.client.reload(world.model(world.name, 1))
    assert f"replayed 2 warm-up requests of {world.base / world.name / '1'}" in log.read_text()

    wrong = recommend_inputs([["t1"]])
    del wrong["context"]
    write_warmup(world.base / world.name / "2", wrong)
    world.client.reload(world.model(world.name, 1, 2))
    with pytest.raises(ModelFailed, match="input size does not match signature"):
        world.client.wait_available(world.name, 2)


def test_no_request_fails_while_versions_change(served):
    failures, answered, stop = [], set(), threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answered.add(served.client.ask(served.name, recommend_inputs([["t1"]])).version)
            except ModelServerError as error:
                failures.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in (1, 2, 1, 2):
            served.client.reload(served.model(served.name, version))
            served.client.wait_available(served.name, version, failed_before=True)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert answered == {1, 2}


def test_a_request_whose_caller_has_given_up_is_not_run():
    class Gone:
        def is_active(self) -> bool:
            return False

        def abort(self, code, text):
            raise RuntimeError(code.name, text)

    metrics = Metrics()
    service = PredictionService(None, metrics)  # without any model: a run would be an error of another kind
    with pytest.raises(RuntimeError, match="CANCELLED"):
        service.Predict(predict_pb2.PredictRequest(model_spec={"name": "m"}), Gone())
    assert 'model_name="m",status="CANCELLED"} 1' in metrics.render()
