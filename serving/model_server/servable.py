"""One loaded SavedModel: its signatures, and runs of its graph from named tensors to named tensors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.model_server.c_api import Session
from serving.model_server.crowd import Crowd
from serving.model_server.errors import failed_precondition
from serving.model_server.signatures import DEFAULT_SIGNATURE, SERVE_TAG, dims, read_signature_defs
from serving.model_server.values import Value

Run = Callable[[Sequence[bytes]], list[Value]]
"""Serialised `TensorProto`s of the feeds -> the values fetched."""


def session_config(intra_op: int, inter_op: int, optimize: bool = False) -> bytes:
    """A serialised `ConfigProto`. Threads for operations of a request that run at once: `inter_op`, one a core for 0,
    none but that of the request itself below 0. optimize: whether TensorFlow rewrites graphs when they first run."""
    from tensorflow.core.protobuf import config_pb2

    config = config_pb2.ConfigProto(intra_op_parallelism_threads=intra_op, inter_op_parallelism_threads=inter_op)
    config.graph_options.rewrite_options.disable_meta_optimizer = not optimize
    return config.SerializeToString()


@dataclass(frozen=True)
class Plan:
    """A run of the graph: what is fed and fetched. `batchable`: the first dimension of all of it is the batch's."""

    key: tuple[tuple[str, ...], tuple[str, ...]]
    run: Run
    batchable: bool


class Servable:
    """A SavedModel ready to be called; calls may run at the same time from several threads.

    Args:
        path: the SavedModel's folder.
        config: a serialised `ConfigProto`.

    Its operations run in the thread that asks, one after another. Given a `crowd`, requests wait there for their turns,
    and the operations of one that is alone run on the session's other threads too: a fifth less time for a quarter
    more work.

    Raises `ServingError`, OSError or ValueError when it is incomplete or broken.
    """

    def __init__(self, path: Path, config: bytes = b""):
        self.path = path
        self.signature_defs = read_signature_defs(path)
        self._session = Session(str(path), SERVE_TAG, config)
        self._plans: dict[tuple[tuple[str, ...], tuple[str, ...]], Plan] = {}
        self._lock = threading.Lock()
        self.crowd: Crowd | None = None

    def signature(self, name: str):
        """The `SignatureDef` of `name` ("" = `serving_default`); raises FAILED_PRECONDITION for an unknown one."""
        found = self.signature_defs.get(name or DEFAULT_SIGNATURE)
        if found is None:
            raise failed_precondition(f'Serving signature key "{name or DEFAULT_SIGNATURE}" not found.')
        return found

    def plan(self, feeds: Sequence, fetches: Sequence) -> Plan:
        """How to run the graph from `feeds` to `fetches` (`TensorInfo`s); made once, and kept.

        Raises FAILED_PRECONDITION where the graph has no such tensor.
        """
        key = (tuple(info.name for info in feeds), tuple(info.name for info in fetches))
        plan = self._plans.get(key)
        if plan is None:
            with self._lock:
                plan = self._plans[key] = self._plans.get(key) or self._planned(key, feeds, fetches)
        return plan

    def _planned(self, key, feeds: Sequence, fetches: Sequence) -> Plan:
        session = self._session
        try:
            into, out = session.endpoints(key[0]), session.endpoints(key[1])
        except KeyError as error:
            raise failed_precondition(
                f"Tensor {error.args[0]}, specified in a signature, is not in the graph"
            ) from error
        shapes = [dims(info) for info in (*feeds, *fetches)]
        batchable = bool(feeds) and all(shape and shape[0] == -1 for shape in shapes)

        def run(inputs: Sequence[bytes]) -> list[Value]:
            crowd = self.crowd
            if crowd is None:
                return session.run(into, inputs, out)
            with crowd.turn() as alone:
                return session.run(into, inputs, out, spread=alone)

        return Plan(key, run, batchable)

    def close(self) -> None:
        """Free the model's memory; nothing may run any more."""
        self._session.close()
