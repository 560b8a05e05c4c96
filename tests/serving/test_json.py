"""JSON of the REST API: what is read, what is refused, what is written."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.model_server.errors import ServingError
from serving.model_server.json_input import parse_body, read_inputs, to_tensor
from serving.model_server.json_output import predictions_json

FLOAT, TEXT = np.float32, np.object_


def read(document, **dtypes):
    return read_inputs(document, dtypes)


def test_rows_and_columns_are_the_same_tensors():
    rows, row_format = read({"instances": [{"x": [1, 2], "y": 3}, {"x": [3, 4], "y": 5}]}, x=FLOAT, y=np.int64)
    columns, column_format = read({"inputs": {"x": [[1, 2], [3, 4]], "y": [3, 5]}}, x=FLOAT, y=np.int64)
    assert (row_format, column_format) == (True, False)
    for name in ("x", "y"):
        assert rows[name].dtype == columns[name].dtype
        np.testing.assert_array_equal(rows[name], columns[name])


def test_one_input_needs_no_name():
    np.testing.assert_array_equal(read({"instances": [1.0, 2.0]}, x=FLOAT)[0]["x"], [1, 2])
    np.testing.assert_array_equal(read({"inputs": [[1.0], [2.0]]}, x=FLOAT)[0]["x"], [[1], [2]])


def test_bytes_come_as_base64():
    encoded = {"b64": base64.b64encode(b"\xff\x00").decode()}
    assert read({"instances": [encoded, "text"]}, x=TEXT)[0]["x"].tolist() == [b"\xff\x00", b"text"]
    assert read({"inputs": {"x": [encoded]}}, x=TEXT)[0]["x"].tolist() == [b"\xff\x00"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"inputs": [1], "instances": [1]}, "expecting only one of"),
        ({"instances": 1}, "to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [[1], [1, 2]]}, r"Expecting shape \[1\] but got: \[2\]"),
        ({"instances": [{"x": 1}, 2]}, "Expecting object but got list at item 1"),
        ({"instances": [{"y": 1}]}, "keys must be equal to: x"),
        ({"inputs": {"y": 1}}, "Missing named input: x in 'inputs' object"),
        ({"inputs": [[1], [1, 2]]}, "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ({"inputs": [1, [2]]}, "Encountered list at unexpected level: 1 expected < 1"),
        ({"inputs": [[1], 2]}, "found at incorrect level: 2"),
        ({"inputs": ["a"]}, 'JSON Value: "a" Type: String is not of expected type: float'),
        ({"inputs": [None]}, "Type: Null"),
        ({"inputs": [True]}, "Type: Bool"),
        ({"inputs": [1e39]}, "without loss of precision"),
        ({"inputs": [10**400]}, "without loss of precision"),
    ],
)
def test_what_is_refused(document, words):
    with pytest.raises(ServingError, match=words) as caught:
        read(document, x=FLOAT)
    assert caught.value.http_status == 400


def test_values_that_do_not_fit_their_type():
    for value, dtype in ((1.5, np.int32), (2**31, np.int32), (1, np.bool_), (1, TEXT), ({"b64": "*"}, TEXT)):
        with pytest.raises(ServingError):
            to_tensor(value, dtype)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The document is empty"),
        (b"{", "JSON Parse error"),
        (b"[1]", "Is not object"),
        (b"\xff", "JSON Parse error"),
    ],
)
def test_bodies_that_are_no_object(body, words):
    with pytest.raises(ServingError, match=words):
        parse_body(body)


@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=4), elements=st.floats(width=32)))
def test_float_columns_come_back_as_they_were(values):
    body = json.loads(predictions_json({"y": values}, rows=False))
    np.testing.assert_array_equal(np.array(body["outputs"], np.float32), values)
    np.testing.assert_array_equal(to_tensor(body["outputs"], np.float32), values)


def test_answers_by_row_and_by_column():
    outputs = {"s": np.array([0.1, 2.0], np.float32), "ids": np.array([b"a", "é".encode()], object)}
    assert json.loads(predictions_json(outputs, rows=True)) == {
        "predictions": [{"s": 0.1, "ids": "a"}, {"s": 2.0, "ids": "é"}]
    }
    assert json.loads(predictions_json({"s": outputs["s"]}, rows=True)) == {"predictions": [0.1, 2.0]}
    assert json.loads(predictions_json({"raw_bytes": np.array([b"\xff"], object)}, rows=True)) == {
        "predictions": [{"b64": "/w=="}]
    }
    with pytest.raises(ServingError, match="inconsistent batch size: 1 expecting: 2"):
        predictions_json({"a": np.zeros(2), "b": np.zeros(1)}, rows=True)
