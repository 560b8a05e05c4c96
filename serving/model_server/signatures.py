"""What a SavedModel says of itself, read without its graph: signatures, and checks of a request against one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.values import NUMPY

SERVE_TAG = "serve"
DEFAULT_SIGNATURE = "serving_default"
_META_GRAPHS = 2
_META_INFO, _SIGNATURES = 1, 5
_WORDS = {"float32": "float", "float64": "double", "object": "string", "float16": "half"}


def read_signature_defs(path: Path) -> dict:
    """The `SignatureDef` messages of the SavedModel at `path`, by name, from its graph with the tag `serve`.

    Only that part of `saved_model.pb` is parsed: a graph with its constants may have a hundred megabytes, and parsing
    them would hold up every request.
    """
    from tensorflow.core.protobuf import meta_graph_pb2

    content = memoryview((path / "saved_model.pb").read_bytes())
    try:
        for field, part, _ in _fields(content):
            if field != _META_GRAPHS:
                continue
            kept = b"".join(bytes(raw) for inner, _, raw in _fields(part) if inner in (_META_INFO, _SIGNATURES))
            meta_graph = meta_graph_pb2.MetaGraphDef.FromString(kept)
            if set(meta_graph.meta_info_def.tags) == {SERVE_TAG}:
                return dict(meta_graph.signature_def)
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path}/saved_model.pb is no SavedModel: {error}") from error
    raise ValueError(f"{path}/saved_model.pb has no graph tagged {SERVE_TAG!r}: export it with tf.saved_model.save")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """(field number, content, the whole field) of the length-delimited fields of a protocol message."""
    place = 0
    while place < len(message):
        start = place
        key, place = _number(message, place)
        kind = key & 7
        if kind == 0:
            _, place = _number(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            size, place = _number(message, place)
            place += size
            if place > len(message):
                raise ValueError(f"a field of {size} bytes ends beyond its message")
            yield key >> 3, message[place - size : place], message[start:place]
        else:
            raise ValueError(f"wire type {kind} at byte {start}")


def _number(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value, place, shift = value | (byte & 0x7F) << shift, place + 1, shift + 7
        if byte < 0x80:
            return value, place


def names(found: Collection[str]) -> str:
    """Names as TensorFlow Serving lists them."""
    return ",".join(sorted(found))


def dims(info) -> list[int] | None:
    """The shape of a `TensorInfo`, -1 for a free dimension; None for a free rank."""
    return None if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]


def word(dtype: int) -> str:
    """A type as TensorFlow's C++ messages call it."""
    name = NUMPY[dtype].name if dtype in NUMPY else f"type {dtype}"
    return _WORDS.get(name, name)


def check_names(signature, given: Mapping) -> None:
    """Raise INVALID_ARGUMENT unless exactly the signature's inputs are given."""
    sent, required = set(given), set(signature.inputs)
    if len(sent) != len(required):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(required)} "
            f"len({{{names(sent)}}}) != len({{{names(required)}}}). "
            f"Sent extra: {{{names(sent - required)}}}. Missing but required: {{{names(required - sent)}}}."
        )
    for name in sorted(sent - required):
        raise invalid_argument(
            f"input tensor alias not found in signature: {name}. "
            f"Inputs expected to be in the set {{{names(required)}}}."
        )


def misfit(name: str, position: int, info, dtype: int, shape: Sequence[int]) -> ServingError | None:
    """What is wrong with the type or shape of one input, if anything."""
    if dtype != info.dtype:
        return invalid_argument(f"Expects arg[{position}] to be {word(info.dtype)} but {word(dtype)} is provided")
    wanted = dims(info)
    if wanted is None:
        return None
    if len(wanted) != len(shape) or any(w not in (-1, s) for w, s in zip(wanted, shape, strict=True)):
        text = ",".join("?" if size == -1 else str(size) for size in wanted)
        return invalid_argument(f"input {name} must have shape [{text}] but has shape {list(shape)}")
    return None


def wanted_outputs(signature, output_filter: Sequence[str]) -> list[str]:
    """The outputs that are answered, all where the filter is empty; raises INVALID_ARGUMENT for others."""
    for position, alias in enumerate(output_filter):
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{names(signature.outputs)}}}."
            )
        if alias in output_filter[:position]:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
    return list(output_filter) or sorted(signature.outputs)
