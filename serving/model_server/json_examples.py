"""JSON of a REST classify or regress request -> `tf.Example`s, and results -> JSON, as TensorFlow Serving has them."""

from __future__ import annotations

import json
from typing import Any

from serving.model_server.errors import invalid_argument
from serving.model_server.json_input import decode_b64, fits_float, is_b64, json_type, parse_body

_EXAMPLES, _CONTEXT = "examples", "context"


def fill_examples(request, body: bytes) -> None:
    """Put the signature and the examples of `body` into a `ClassificationRequest` or `RegressionRequest`.

    Raises INVALID_ARGUMENT where the JSON is not of the form {"examples": [{feature: value or list, ...}, ...]}.
    """
    document = parse_body(body)
    request.model_spec.signature_name = document.get("signature_name", "")
    if _EXAMPLES not in document:
        raise invalid_argument(f"When method is classify, key '{_EXAMPLES}' is expected and was not found")
    found = document[_EXAMPLES]
    if not isinstance(found, list):
        raise invalid_argument(f"Expecting '{_EXAMPLES}' value to be an list/array")
    if not found:
        raise invalid_argument(f"'{_EXAMPLES}' value is an empty array")
    if _CONTEXT in document:
        into = request.input.example_list_with_context
        _fill(into.context, document[_CONTEXT])
    else:
        into = request.input.example_list
    for one in found:
        _fill(into.examples.add(), one)


def _fill(example, features: Any) -> None:
    if not isinstance(features, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {json_type(features)}")
    example.features.SetInParent()
    for name, content in features.items():
        feature = example.features.feature[name]
        for value in content if isinstance(content, list) else [content]:
            _add(feature, name, value)


def _add(feature, name: str, value: Any) -> None:
    """One value into a feature, whose kind the first value decides."""
    if isinstance(value, bool):
        kind, item = "int64_list", int(value)
    elif isinstance(value, int):
        kind, item = "int64_list", value
        if not -(2**63) <= value < 2**63:
            raise invalid_argument(f"Feature: {name} has uint64 element. Only int64 is supported.")
    elif isinstance(value, float):
        kind, item = "float_list", value
        if not fits_float(value):
            raise invalid_argument(f"Cannot convert JSON value: {value} to float without loss of precision.")
    elif isinstance(value, str):
        kind, item = "bytes_list", value.encode()
    elif is_b64(value):
        kind, item = "bytes_list", decode_b64(value)
    else:
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")
    before = feature.WhichOneof("kind")
    if before not in (None, kind):
        expected = before.partition("_")[0]
        raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {expected}")
    getattr(feature, kind).value.append(item)


def classification_json(result) -> str:
    """{"results": [[[label, score], ...], ...]} of a `ClassificationResult`."""
    rows = [[[one.label, _short(one.score)] for one in row.classes] for row in result.classifications]
    return json.dumps({"results": rows}, indent=1)


def regression_json(result) -> str:
    """{"results": [value, ...]} of a `RegressionResult`."""
    return json.dumps({"results": [_short(one.value) for one in result.regressions]}, indent=1)


def _short(value: float) -> float:
    """A float32 as the shortest decimal that gives it back."""
    import numpy as np

    return float(str(np.float32(value)))
