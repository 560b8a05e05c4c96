"""Tensors between protocol and session: a type, a shape, and raw bytes or strings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FLOAT, DOUBLE, INT32, UINT8, INT16, INT8, STRING, INT64, BOOL = 1, 2, 3, 4, 5, 6, 7, 9, 10
UINT16, HALF, UINT32, UINT64 = 17, 19, 22, 23
NUMPY = {
    FLOAT: np.dtype("<f4"),
    DOUBLE: np.dtype("<f8"),
    INT32: np.dtype("<i4"),
    UINT8: np.dtype("u1"),
    INT16: np.dtype("<i2"),
    INT8: np.dtype("i1"),
    STRING: np.dtype(object),
    INT64: np.dtype("<i8"),
    BOOL: np.dtype("?"),
    UINT16: np.dtype("<u2"),
    HALF: np.dtype("<f2"),
    UINT32: np.dtype("<u4"),
    UINT64: np.dtype("<u8"),
}
"""Numbers of `DataType` -> numpy's types, of all that a request or an answer may hold."""

_DTYPES = {dtype: number for number, dtype in NUMPY.items()}
_FIELDS = {
    INT32: "int_val",
    UINT8: "int_val",
    INT16: "int_val",
    INT8: "int_val",
    UINT16: "int_val",
    INT64: "int64_val",
    UINT32: "uint32_val",
    UINT64: "uint64_val",
}
# Packed fields whose bytes on the wire are the tensor's own: their tag (field << 3 | 2).
_PACKED = {FLOAT: b"\x2a", DOUBLE: b"\x32", BOOL: b"\x5a"}


@dataclass(frozen=True)
class Value:
    """A tensor: `dtype` as `DataType` numbers it; `data`: its bytes in row-major order, or its strings."""

    dtype: int
    shape: tuple[int, ...]
    data: bytes | list[bytes]

    @classmethod
    def of(cls, array: np.ndarray) -> Value:
        """The value of a numpy array; strings are an object array of bytes or text."""
        array = np.asarray(array)
        if array.dtype.kind in "OSU":
            flat = array.reshape(-1).tolist()
            return cls(STRING, array.shape, [s if isinstance(s, bytes) else s.encode() for s in flat])
        return cls(_DTYPES[array.dtype.newbyteorder("<")], array.shape, array.tobytes())

    @classmethod
    def read(cls, tensor) -> Value:
        """The value of a `TensorProto`; raises ValueError where content and shape do not agree."""
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        count = math.prod(shape)
        if tensor.dtype == STRING:
            return cls(STRING, shape, _repeated(list(tensor.string_val), count, b""))
        dtype = NUMPY[tensor.dtype]
        if tensor.tensor_content:
            if len(tensor.tensor_content) != count * dtype.itemsize:
                raise ValueError(f"{len(tensor.tensor_content)} bytes are no tensor of shape {list(shape)}")
            return cls(tensor.dtype, shape, tensor.tensor_content)
        if tensor.dtype in (FLOAT, DOUBLE) and count and len(_listed(tensor)) == count:
            # Packed and last on the wire: without a Python number for each element.
            return cls(tensor.dtype, shape, tensor.SerializeToString()[-count * dtype.itemsize :])
        return cls(tensor.dtype, shape, np.array(_repeated(list(_listed(tensor)), count, 0), dtype).tobytes())

    def numpy(self) -> np.ndarray:
        """As an array; a view of the bytes, or an object array of bytes."""
        if self.dtype != STRING:
            return np.frombuffer(self.data, NUMPY[self.dtype]).reshape(self.shape)
        array = np.empty(len(self.data), object)
        array[:] = self.data
        return array.reshape(self.shape)

    def write(self, tensor) -> None:
        """Into an empty `TensorProto`, each type in its own field as TensorFlow Serving writes it."""
        tensor.dtype = self.dtype
        tensor.tensor_shape.SetInParent()
        for size in self.shape:
            tensor.tensor_shape.dim.add().size = size
        if self.dtype == STRING:
            tensor.string_val.extend(self.data)
        elif self.dtype in _PACKED:
            if self.data:
                tensor.MergeFromString(_PACKED[self.dtype] + _varint(len(self.data)) + self.data)
        elif self.dtype == HALF:
            tensor.half_val.extend(np.frombuffer(self.data, "<u2").tolist())
        elif self.dtype in _FIELDS:
            getattr(tensor, _FIELDS[self.dtype]).extend(self.numpy().reshape(-1).tolist())
        else:
            tensor.tensor_content = self.data

    def rows(self, first: int, last: int) -> Value:
        """Rows `first` to `last` (not included) of the first dimension."""
        count, shape = self.shape[0], (last - first, *self.shape[1:])
        step = len(self.data) // count if count else 0
        return Value(self.dtype, shape, self.data[first * step : last * step])


def concatenated(values: Sequence[Value]) -> Value:
    """Values of one type and one shape but for their rows, as one."""
    first = values[0]
    data = sum((v.data for v in values), []) if first.dtype == STRING else b"".join(v.data for v in values)
    return Value(first.dtype, (sum(v.shape[0] for v in values), *first.shape[1:]), data)


def serialised(value: Value) -> bytes:
    """The value as the bytes of a `TensorProto`."""
    from tensorflow.core.framework import tensor_pb2

    tensor = tensor_pb2.TensorProto()
    value.write(tensor)
    return tensor.SerializeToString()


def _listed(tensor) -> Sequence:
    if tensor.dtype == HALF:
        return np.array(tensor.half_val, "<u2").view("<f2").tolist()
    names = {FLOAT: "float_val", DOUBLE: "double_val", BOOL: "bool_val", **_FIELDS}
    return getattr(tensor, names[tensor.dtype])


def _repeated(values: list, count: int, empty: object) -> list:
    """The last value stands for all that are missing, as the protocol has it."""
    if len(values) > count:
        raise ValueError(f"{len(values)} values are too many for {count} elements")
    return values + [values[-1] if values else empty] * (count - len(values))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
