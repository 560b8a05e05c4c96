"""numpy outputs and protocol messages -> JSON of a REST answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.model_server.errors import invalid_argument

# Outputs whose name ends so are bytes, written as {"b64": "..."}; others are text.
BYTES_SUFFIX = "_bytes"


def predictions_json(outputs: Mapping[str, np.ndarray], rows: bool) -> str:
    """The body of a predict answer: `predictions` by row, or `outputs` by column."""
    values = {name: _plain(name, value) for name, value in outputs.items()}
    if not rows:
        return json.dumps({"outputs": values if len(values) > 1 else next(iter(values.values()))}, indent=1)
    sizes = {name: (value.shape[0] if value.ndim else None) for name, value in outputs.items()}
    expected = next(iter(sizes.values()))
    for name, size in sizes.items():
        if size is None:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if size != expected:
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {size} expecting: {expected}")
    if len(values) == 1:
        return json.dumps({"predictions": next(iter(values.values()))}, indent=1)
    return json.dumps(
        {"predictions": [{name: value[row] for name, value in values.items()} for row in range(expected)]}, indent=1
    )


def _plain(name: str, value: np.ndarray) -> Any:
    if value.dtype.kind == "O":
        encode = _b64 if name.endswith(BYTES_SUFFIX) else _text
        flat = [encode(item) for item in value.reshape(-1)]
        return np.array(flat, dtype=object).reshape(value.shape).tolist()
    if value.dtype == np.float32:
        # Through text: 0.1f is written as 0.1, not as the nearest double 0.10000000149.
        return np.array([float(str(item)) for item in value.reshape(-1)]).reshape(value.shape).tolist()
    return value.tolist()


def _text(item: bytes | str) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else item


def _b64(item: bytes | str) -> dict[str, str]:
    raw = item if isinstance(item, bytes) else item.encode()
    return {"b64": base64.b64encode(raw).decode()}


def message_json(message) -> str:
    """A protocol message with every field named as in the protocol."""
    return json.dumps(message_dict(message), indent=1)


def message_dict(message) -> dict[str, Any]:
    """A protocol message as a dictionary, unset fields included."""
    from google.protobuf import json_format

    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def metadata_json(response) -> str:
    """A `GetModelMetadataResponse` in the form TensorFlow Serving writes it."""
    from tensorflow_serving.apis import get_model_metadata_pb2

    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return json.dumps(
        {
            "model_spec": message_dict(response.model_spec),
            "metadata": {"signature_def": message_dict(signatures)},
        },
        indent=1,
    )


def error_json(message: str) -> str:
    """The body of every REST error."""
    return json.dumps({"error": message}, indent=1)
