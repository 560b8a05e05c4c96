"""JSON of a REST predict request -> numpy inputs, by the rules of TensorFlow Serving's REST API.

https://www.tensorflow.org/tfx/serving/api_rest: row format (`instances`) or column format (`inputs`), binary values
as {"b64": "..."}.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

import numpy as np

from serving.model_server.errors import ServingError, invalid_argument

FLOAT_KINDS, INT_KINDS = "f", "iu"


def parse_body(body: bytes) -> dict[str, Any]:
    """The request's JSON object; raises INVALID_ARGUMENT where it is none."""
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        offset = getattr(error, "pos", 0)
        raise invalid_argument(f"JSON Parse error: {getattr(error, 'msg', error)} at offset: {offset}") from error
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {json.dumps(document)[:200]} Is not object")
    if not isinstance(document.get("signature_name", ""), str):
        raise invalid_argument("JSON Value: not formatted correctly. 'signature_name' key must be a string value.")
    return document


def read_inputs(document: dict[str, Any], dtypes: dict[str, Any]) -> tuple[dict[str, np.ndarray], bool]:
    """(inputs by name, whether the row format was used). `dtypes`: the signature's inputs -> numpy dtype."""
    rows, columns = "instances" in document, "inputs" in document
    if rows and columns:
        raise invalid_argument("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if rows:
        return _from_rows(document["instances"], dtypes), True
    if columns:
        return _from_columns(document["inputs"], dtypes), False
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def is_b64(value: Any) -> bool:
    """Whether a JSON value is {"b64": "..."}: bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _from_rows(instances: Any, dtypes: dict[str, Any]) -> dict[str, np.ndarray]:
    if not isinstance(instances, list):
        raise invalid_argument("Expecting 'instances' to be an list/array")
    if not instances:
        raise invalid_argument("No values in 'instances' array")
    named = isinstance(instances[0], dict) and not is_b64(instances[0])
    if not named and len(dtypes) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    parts: dict[str, list[np.ndarray]] = {name: [] for name in dtypes}
    for position, element in enumerate(instances):
        if (isinstance(element, dict) and not is_b64(element)) != named:
            wanted, got = ("object", "list") if named else ("value/list", "object")
            raise invalid_argument(f"Expecting {wanted} but got {got} at item {position} of input list")
        row = element if named else {next(iter(dtypes)): element}
        if row.keys() != dtypes.keys():
            raise invalid_argument(
                f"Failed to process element: {position} of 'instances' list. JSON object: "
                f"keys must be equal to: {','.join(sorted(dtypes))}"
            )
        for name, value in row.items():
            _append_row(parts[name], name, position, value, dtypes[name])
    return {name: np.stack(values) for name, values in parts.items()}


def _append_row(rows: list[np.ndarray], name: str, position: int, value: Any, dtype: Any) -> None:
    try:
        row = to_tensor(value, dtype)
    except ServingError as error:
        raise invalid_argument(
            f"Failed to process element: {position} key: {name} of 'instances' list. Error: {error.message}"
        ) from error
    if rows and rows[0].shape != row.shape:
        raise invalid_argument(
            f"Failed to process element: {position} key: {name} of 'instances' list. "
            f"Error: Expecting shape {list(rows[0].shape)} but got: {list(row.shape)}"
        )
    rows.append(row)


def _from_columns(inputs: Any, dtypes: dict[str, Any]) -> dict[str, np.ndarray]:
    if not isinstance(inputs, dict) or is_b64(inputs):
        if len(dtypes) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        return {name: to_tensor(inputs, dtype) for name, dtype in dtypes.items()}
    for name in dtypes:
        if name not in inputs:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
    return {name: to_tensor(inputs[name], dtype) for name, dtype in dtypes.items()}


def to_tensor(value: Any, dtype: Any) -> np.ndarray:
    """A nested JSON list as a dense array of `dtype` (object for strings, held as bytes)."""
    shape, inner = [], value
    while isinstance(inner, list):
        shape.append(len(inner))
        if not inner:
            break
        inner = inner[0]
    flat: list[Any] = []
    _flatten(value, 0, shape, np.dtype(dtype), flat)
    array = np.empty(len(flat), dtype=dtype)
    array[:] = flat
    return array.reshape(shape)


def _flatten(value: Any, level: int, shape: list[int], dtype: np.dtype, flat: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {json.dumps(value)[:200]} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        flat.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for inner in value:
        _flatten(inner, level + 1, shape, dtype, flat)


def _leaf(value: Any, dtype: np.dtype) -> Any:
    kind = dtype.kind
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "O" and isinstance(value, str):
        return value.encode()
    if kind == "O" and isinstance(value, dict):
        return decode_b64(value)
    if kind == "b" and isinstance(value, bool):
        return value
    if kind in FLOAT_KINDS and number:
        if not _fits(value, dtype):
            raise invalid_argument(f"Cannot convert JSON value: {value} to {dtype} without loss of precision.")
        return value
    whole = number and isinstance(value, int) and kind in INT_KINDS
    if whole and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return value
    wanted = "string" if kind == "O" else dtype.name
    raise invalid_argument(
        f"JSON Value: {json.dumps(value)[:200]} Type: {json_type(value)} is not of expected type: {wanted}"
    )


def fits_float(value: float) -> bool:
    """Whether a number that is finite stays so as float32."""
    return _fits(value, np.dtype(np.float32))


def _fits(value: float, dtype: np.dtype) -> bool:
    """Whether a number that is finite stays so as `dtype`."""
    try:
        if not math.isfinite(value):
            return True
        with np.errstate(over="ignore"):
            return bool(np.isfinite(dtype.type(value)))
    except OverflowError:
        # A whole number beyond the range of double.
        return False


def decode_b64(value: dict[str, Any]) -> bytes:
    """The bytes of {"b64": "..."}; raises INVALID_ARGUMENT."""
    if not is_b64(value):
        raise invalid_argument(f"JSON Value: {json.dumps(value)[:200]} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("Unable to base64 decode") from error


def json_type(value: Any) -> str:
    """The type of a JSON value as TensorFlow Serving calls it."""
    names = {bool: "Bool", int: "Number", float: "Number", str: "String", list: "Array", dict: "Object"}
    return names.get(type(value), "Null")
