"""Classify, Regress and MultiInference: requests of `tf.Example`s to signatures with those methods.

The checks and their words are those of TensorFlow Serving (`classifier.cc`, `regressor.cc`, `multi_inference.cc`).
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from serving.model_server.batching import Batcher
from serving.model_server.errors import ServingError, failed_precondition, invalid_argument
from serving.model_server.servable import Servable
from serving.model_server.signatures import DEFAULT_SIGNATURE
from serving.model_server.values import FLOAT, STRING, Value, serialised

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
_KINDS = {CLASSIFY: "classification", REGRESS: "regression"}
_INPUTS, _CLASSES, _SCORES, _OUTPUTS = "inputs", "classes", "scores", "outputs"


def run_classify(servable: Servable, version: int, request, batcher: Batcher | None = None):
    """Answer a `ClassificationRequest`."""
    signature = _signature(servable, request.model_spec, CLASSIFY)
    response = classification_pb2.ClassificationResponse()
    _fill_spec(response.model_spec, request.model_spec, version)
    outputs, count = _run(servable, request.input, signature, _classify_outputs(signature), batcher)
    _classes(outputs.get(_CLASSES), outputs.get(_SCORES), count, response.result)
    return response


def run_regress(servable: Servable, version: int, request, batcher: Batcher | None = None):
    """Answer a `RegressionRequest`."""
    signature = _signature(servable, request.model_spec, REGRESS)
    response = regression_pb2.RegressionResponse()
    _fill_spec(response.model_spec, request.model_spec, version)
    outputs, count = _run(servable, request.input, signature, _regress_outputs(signature), batcher)
    _regressions(outputs[_OUTPUTS], count, response.result)
    return response


def run_multi_inference(servable: Servable, version: int, request, batcher: Batcher | None = None):
    """Answer a `MultiInferenceRequest`: several signatures of one model, asked with the same examples in one run."""
    tasks, seen, fed, fetched = [], set(), None, {}
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        if name in seen:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        signature = servable.signature_defs.get(name)
        if signature is None:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in _KINDS:
            raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        _check_method(signature, task.method_name)
        outputs = _classify_outputs(signature) if task.method_name == CLASSIFY else _regress_outputs(signature)
        source = signature.inputs[_INPUTS]
        if fed is not None and source.name != fed.name:
            raise invalid_argument("Input tensor must be the same for all Signatures.")
        fed = source
        fetched.update({signature.outputs[key].name: signature.outputs[key] for key in outputs})
        tasks.append((task, signature, outputs))
    if fed is None:
        raise invalid_argument("Inference request must have at least one task")
    examples = _examples(request.input)
    wanted = sorted(fetched)
    values = dict(zip(wanted, _fetch(servable, fed, [fetched[n] for n in wanted], examples, batcher), strict=True))
    response = inference_pb2.MultiInferenceResponse()
    for task, signature, outputs in tasks:
        result = response.results.add()
        _fill_spec(result.model_spec, task.model_spec, version)
        found = {key: values[signature.outputs[key].name] for key in outputs}
        if task.method_name == CLASSIFY:
            _classes(found.get(_CLASSES), found.get(_SCORES), len(examples), result.classification_result)
        else:
            _regressions(found[_OUTPUTS], len(examples), result.regression_result)
    return response


# Signatures


def _signature(servable: Servable, spec, method: str):
    name = spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signature_defs.get(name)
    if signature is None:
        raise invalid_argument(f"No signature was found with the name: {name}")
    _check_method(signature, method)
    return signature


def _check_method(signature, method: str) -> None:
    if signature.method_name != method:
        raise invalid_argument(
            f"Expected {_KINDS[method]} signature method_name to be {method}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if _INPUTS not in signature.inputs:
        raise failed_precondition(f"No {_KINDS[method]} inputs found in SignatureDef: {signature}")


def _classify_outputs(signature) -> list[str]:
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    found = [key for key in (_CLASSES, _SCORES) if key in signature.outputs]
    if not found:
        raise failed_precondition(
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature was: {signature}'
        )
    return found


def _regress_outputs(signature) -> list[str]:
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if _OUTPUTS not in signature.outputs:
        raise failed_precondition(f"No regression outputs found in SignatureDef: {signature}")
    return [_OUTPUTS]


def _fill_spec(spec, asked, version: int) -> None:
    spec.name, spec.version.value = asked.name, version
    spec.signature_name = asked.signature_name or DEFAULT_SIGNATURE


# Runs


def _examples(given) -> list[bytes]:
    """Serialised examples of an `Input`; a context's features stand in each of them, before its own."""
    if given.WhichOneof("kind") == "example_list_with_context":
        # Two serialised messages after one another are their merger.
        context = given.example_list_with_context.context.SerializeToString()
        found = [context + one.SerializeToString() for one in given.example_list_with_context.examples]
    else:
        found = [one.SerializeToString() for one in given.example_list.examples]
    if not found:
        raise invalid_argument("Input is empty.")
    return found


def _run(
    servable: Servable, given, signature, outputs: list[str], batcher: Batcher | None
) -> tuple[dict[str, Value], int]:
    examples = _examples(given)
    fetches = [signature.outputs[key] for key in outputs]
    values = _fetch(servable, signature.inputs[_INPUTS], fetches, examples, batcher)
    return dict(zip(outputs, values, strict=True)), len(examples)


def _fetch(servable: Servable, feed, fetches: Sequence, examples: list[bytes], batcher: Batcher | None) -> list[Value]:
    plan, value = servable.plan([feed], fetches), Value(STRING, (len(examples),), examples)
    if batcher is not None and plan.batchable:
        return batcher.run(servable, plan, [value])
    return plan.run([serialised(value)])


# Results


def _shape(value: Value) -> str:
    return "[" + ",".join(map(str, value.shape)) + "]"


def _classes(classes: Value | None, scores: Value | None, count: int, result) -> None:
    for value, dtype, name, kind in ((classes, STRING, _CLASSES, "DT_STRING"), (scores, FLOAT, _SCORES, "DT_FLOAT")):
        if value is None:
            continue
        if len(value.shape) != 2:
            raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(value)}")
        if value.dtype != dtype:
            raise invalid_argument(f"Expected {name} Tensor of {kind}. Got: {_type_name(value.dtype)}")
        if value.shape[0] != count:
            raise invalid_argument(f"Expected {name} output batch size of {count}. Got: {value.shape[0]}")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    labels = None if classes is None else classes.numpy()
    points = None if scores is None else scores.numpy()
    for row in range(count):
        entry = result.classifications.add()
        for column in range((classes or scores).shape[1]):
            found = entry.classes.add()
            if labels is not None:
                found.label = labels[row, column].decode("utf-8", "replace")
            if points is not None:
                found.score = points[row, column]


def _regressions(value: Value, count: int, result) -> None:
    if len(value.shape) != 1 and not (len(value.shape) == 2 and value.shape[1] == 1):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(value)}"
        )
    if value.shape[0] != count:
        raise invalid_argument(f"Input batch size did not match output batch size: {count} vs. {value.shape[0]}")
    if value.dtype != FLOAT:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {_type_name(value.dtype)}")
    for number in value.numpy().reshape(-1).tolist():
        result.regressions.add().value = number


def _type_name(dtype: int) -> str:
    from tensorflow.core.framework import types_pb2

    return types_pb2.DataType.Name(dtype)
