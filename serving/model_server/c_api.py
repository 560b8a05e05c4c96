"""TensorFlow's C API by ctypes: load a SavedModel into a session and run it, without the interpreter's lock.

The library is the one that `import tensorflow` loads. Two things are gained over TensorFlow's Python side. Loading a
version never holds the interpreter's lock (Python's loader holds it for more than a second at a stretch), so requests
go on while a new version comes up. And a request's tensors go from protocol to session in C++, without numpy between.

A session is what TensorFlow Serving runs too: SavedModels of TensorFlow 1 (no object graph) and 2 are alike to it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache

from serving.model_server.errors import error_of_code
from serving.model_server.values import STRING, Value

_FLOAT = 1


class _Output(ctypes.Structure):
    """TF_Output: one output of an operation."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


class _Buffer(ctypes.Structure):
    """TF_Buffer around memory that stays Python's."""

    _fields_ = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]

    @classmethod
    def of(cls, content: bytes) -> _Buffer:
        buffer = cls(ctypes.cast(c_char_p(content), c_void_p), len(content), None)
        buffer.content = content  # it points there, so it lives as long
        return buffer


_SIGNATURES = {
    "TF_NewStatus": (c_void_p, []),
    "TF_DeleteStatus": (None, [c_void_p]),
    "TF_GetCode": (c_int, [c_void_p]),
    "TF_Message": (c_char_p, [c_void_p]),
    "TF_NewGraph": (c_void_p, []),
    "TF_DeleteGraph": (None, [c_void_p]),
    "TF_NewSessionOptions": (c_void_p, []),
    "TF_DeleteSessionOptions": (None, [c_void_p]),
    "TF_SetConfig": (None, [c_void_p, c_char_p, c_size_t, c_void_p]),
    "TF_NewSession": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        [c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, c_void_p, c_void_p],
    ),
    "TF_CloseSession": (None, [c_void_p, c_void_p]),
    "TF_DeleteSession": (None, [c_void_p, c_void_p]),
    "TF_GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
    "TF_AllocateTensor": (c_void_p, [c_int, c_void_p, c_int, c_size_t]),
    "TF_TensorFromProto": (None, [POINTER(_Buffer), c_void_p, c_void_p]),
    "TF_DeleteTensor": (None, [c_void_p]),
    "TF_TensorType": (c_int, [c_void_p]),
    "TF_NumDims": (c_int, [c_void_p]),
    "TF_Dim": (c_int64, [c_void_p, c_int]),
    "TF_TensorData": (c_void_p, [c_void_p]),
    "TF_TensorByteSize": (c_size_t, [c_void_p]),
    "TF_StringGetSize": (c_size_t, [c_void_p]),
    "TF_StringGetDataPointer": (c_void_p, [c_void_p]),
    "TF_SessionRun": (
        None,
        [
            c_void_p, c_void_p,
            POINTER(_Output), POINTER(c_void_p), c_int,
            POINTER(_Output), POINTER(c_void_p), c_int,
            c_void_p, c_int, c_void_p, c_void_p,
        ],
    ),
}  # fmt: skip
_STRING_BYTES = 24
"""Size of a TF_TString."""


@cache
def library() -> ctypes.CDLL:
    """The C API of the installed TensorFlow. Raises OSError where its library has another name."""
    import tensorflow as tf

    lib = ctypes.CDLL(os.path.join(os.path.dirname(tf.__file__), "libtensorflow_cc.so.2"))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class _Status:
    """A TF_Status for one call; raises what it says."""

    def __enter__(self) -> _Status:
        self.pointer = library().TF_NewStatus()
        return self

    def __exit__(self, *_: object) -> None:
        library().TF_DeleteStatus(self.pointer)

    def check(self) -> None:
        code = library().TF_GetCode(self.pointer)
        if code:
            raise error_of_code(code, library().TF_Message(self.pointer).decode(errors="replace"))


def _options(config: bytes, status: _Status) -> int:
    lib = library()
    options = lib.TF_NewSessionOptions()
    lib.TF_SetConfig(options, config, len(config), status.pointer)
    return options


def start_threads(config: bytes) -> None:
    """Create TensorFlow's shared threads now, with the priority of the calling thread (a first session makes them)."""
    lib = library()
    with _Status() as status:
        graph, options = lib.TF_NewGraph(), _options(config, status)
        status.check()
        session = lib.TF_NewSession(graph, options, status.pointer)
        lib.TF_DeleteSessionOptions(options)
        status.check()
        lib.TF_CloseSession(session, status.pointer)
        lib.TF_DeleteSession(session, status.pointer)
        lib.TF_DeleteGraph(graph)


class Session:
    """A loaded SavedModel. `run` may be called from several threads at once; nothing may run after `close`.

    Args:
        path: the SavedModel's folder.
        tag: the tag of its graph.
        config: a serialised `ConfigProto`.

    Raises `ServingError` with TensorFlow's code and words where it can not be loaded.
    """

    def __init__(self, path: str, tag: str = "serve", config: bytes = b""):
        lib = library()
        self._session = self._graph = None
        with _Status() as status:
            options = _options(config, status)
            status.check()
            graph = lib.TF_NewGraph()
            tags = (c_char_p * 1)(tag.encode())
            session = lib.TF_LoadSessionFromSavedModel(
                options, byref(_in_this_thread()), os.fsencode(path), tags, 1, graph, None, status.pointer
            )
            lib.TF_DeleteSessionOptions(options)
            if not session:
                lib.TF_DeleteGraph(graph)
            status.check()
        self._session, self._graph = session, graph

    def close(self) -> None:
        """Free the model's memory."""
        session, self._session = self._session, None
        if session:
            lib = library()
            with _Status() as status:
                lib.TF_CloseSession(session, status.pointer)
                lib.TF_DeleteSession(session, status.pointer)
            lib.TF_DeleteGraph(self._graph)

    def __del__(self) -> None:
        self.close()

    def endpoints(self, names: Sequence[str]) -> ctypes.Array:
        """Tensors of the graph by names such as "x:0", for `run`. Raises KeyError for one that it has not."""
        found = (_Output * len(names))()
        for place, name in enumerate(names):
            operation, _, index = name.rpartition(":")
            pointer = library().TF_GraphOperationByName(self._graph, operation.encode())
            if not pointer:
                raise KeyError(name)
            found[place].operation, found[place].index = pointer, int(index)
        return found

    def run(
        self, feeds: ctypes.Array, inputs: Sequence[bytes], fetches: ctypes.Array, spread: bool = False
    ) -> list[Value]:
        """Feed serialised `TensorProto`s and return what is fetched. Raises `ServingError` in TensorFlow's words.

        spread: over the session's threads; otherwise all runs in the thread that calls.
        """
        lib, options = library(), None if spread else byref(_in_this_thread())
        values, results = (c_void_p * len(feeds))(), (c_void_p * len(fetches))()
        try:
            with _Status() as status:
                for place, content in enumerate(inputs):
                    values[place] = tensor = lib.TF_AllocateTensor(_FLOAT, None, 0, 4)
                    lib.TF_TensorFromProto(byref(_Buffer.of(content)), tensor, status.pointer)
                    status.check()
                lib.TF_SessionRun(
                    self._session, options, feeds, values, len(feeds), fetches, results, len(fetches),
                    None, 0, None, status.pointer,
                )  # fmt: skip
                status.check()
            return [_value(lib, tensor) for tensor in results]
        finally:
            for tensor in (*values, *results):
                if tensor:
                    lib.TF_DeleteTensor(tensor)


@cache
def _in_this_thread() -> _Buffer:
    """The `RunOptions` that say so."""
    from tensorflow.core.protobuf import config_pb2

    return _Buffer.of(config_pb2.RunOptions(inter_op_thread_pool=-1).SerializeToString())


def _value(lib: ctypes.CDLL, tensor: int) -> Value:
    dtype = lib.TF_TensorType(tensor)
    shape = tuple(lib.TF_Dim(tensor, axis) for axis in range(lib.TF_NumDims(tensor)))
    size, data = lib.TF_TensorByteSize(tensor), lib.TF_TensorData(tensor)
    if dtype != STRING:
        return Value(dtype, shape, ctypes.string_at(data, size) if size else b"")
    return Value(dtype, shape, _strings(lib, data, size // _STRING_BYTES))


def _strings(lib: ctypes.CDLL, data: int, count: int) -> list[bytes]:
    return [
        ctypes.string_at(lib.TF_StringGetDataPointer(place), lib.TF_StringGetSize(place))
        for place in range(data or 0, (data or 0) + count * _STRING_BYTES, _STRING_BYTES)
    ]
