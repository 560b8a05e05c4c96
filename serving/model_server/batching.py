"""Request batching: requests that arrive together run as one, along the first dimension.

Parameters, defaults and rules are those of TensorFlow Serving's batching session (`BatchingParameters`): a batch is run
when it is full or its first request has waited `batch_timeout_micros`; a full queue refuses with UNAVAILABLE; a
request larger than a batch is refused. Only what has an open first dimension in all inputs and outputs is batched.
Requests whose other dimensions differ are batched apart, where the original refuses them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from serving.model_server.errors import ServingError, as_serving_error, invalid_argument
from serving.model_server.values import Value, concatenated, serialised

if TYPE_CHECKING:
    from serving.model_server.servable import Plan, Servable

_WRAPPED = {"max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads", "thread_pool_name"}


class BatchingError(ValueError):
    """Batching parameters that can not be read."""


@dataclass(frozen=True)
class BatchingParameters:
    """As `BatchingParameters` of TensorFlow Serving; the defaults are those of its server.

    Args:
        max_batch_size: rows of a batch, at most.
        batch_timeout_micros: how long the first request of a batch waits for others, microseconds.
        max_enqueued_batches: batches that may wait for a thread, at most.
        num_batch_threads: batches that run at once.
        allowed_batch_sizes: batches are filled up to the next of these sizes (by repeating a row); empty: as they come.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 2
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("max_batch_size", 1), ("batch_timeout_micros", 0), ("num_batch_threads", 1)):
            if getattr(self, name) < least:
                raise BatchingError(f"{name}: {getattr(self, name)} is below {least}")
        if self.max_enqueued_batches < 1:
            raise BatchingError(f"max_enqueued_batches: {self.max_enqueued_batches} is below 1")
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != self.max_batch_size):
            raise BatchingError(
                f"allowed_batch_sizes: {list(sizes)} must increase and end with max_batch_size, {self.max_batch_size}"
            )

    def padded(self, rows: int) -> int:
        """The size that a batch of so many rows is filled up to."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def read_parameters(path: Path) -> BatchingParameters:
    """`BatchingParameters` in text format, as `--batching_parameters_file` has it. Raises BatchingError."""
    from google.protobuf import text_format

    message = _message()
    try:
        text_format.Parse(Path(path).read_text(encoding="utf-8"), message)
    except (text_format.ParseError, OSError, UnicodeDecodeError) as error:
        raise BatchingError(f"{path}: {error}. Expected: max_batch_size {{ value: 32 }} …") from error
    if message.pad_variable_length_inputs:
        raise BatchingError(f"{path}: pad_variable_length_inputs is not supported: such requests are batched apart")
    given = {name: getattr(message, name).value for name in _WRAPPED - {"thread_pool_name"} if message.HasField(name)}
    try:
        return BatchingParameters(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))
    except BatchingError as error:
        raise BatchingError(f"{path}: {error}") from error


def _message():
    """An empty `tensorflow.serving.BatchingParameters`: the message is in no Python package, so it is declared here."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="soundlake/batching_parameters.proto",
        package="soundlake",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    declared = file.message_type.add(name="BatchingParameters")
    wrapped = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate((*wrapped, "thread_pool_name"), 1):
        kind = ".google.protobuf.Int64Value" if name in wrapped else ".google.protobuf.StringValue"
        declared.field.add(name=name, number=number, label=1, type=kinds.TYPE_MESSAGE, type_name=kind)
    declared.field.add(name="allowed_batch_sizes", number=6, label=3, type=kinds.TYPE_INT64)
    declared.field.add(name="pad_variable_length_inputs", number=7, label=1, type=kinds.TYPE_BOOL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("soundlake.BatchingParameters"))()


@dataclass
class _Task:
    inputs: Sequence[Value]
    rows: int
    done: threading.Event = field(default_factory=threading.Event)
    outputs: list[Value] | None = None
    error: ServingError | None = None


@dataclass
class _Batch:
    plan: Plan
    key: tuple
    due: float
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0


class Batcher:
    """Collects requests of many threads and runs them in its own."""

    def __init__(self, parameters: BatchingParameters):
        self.parameters = parameters
        self._changed = threading.Condition()
        self._open: dict[tuple, _Batch] = {}
        self._full: list[_Batch] = []
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, servable: Servable, plan: Plan, inputs: Sequence[Value]) -> list[Value]:
        """The outputs of `plan` for `inputs`; waits until its batch has run.

        Raises INVALID_ARGUMENT for inputs whose rows differ in number or are too many, UNAVAILABLE where the queue is
        full, and what the run raises.
        """
        task = _Task(inputs, self._rows(inputs))
        shapes = tuple(value.shape[1:] for value in inputs)
        self._enqueue((id(servable), plan.key, shapes), plan, task)
        task.done.wait()
        if task.error is not None:
            raise task.error
        return task.outputs

    def close(self) -> None:
        """Run what waits, then stop."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _rows(self, inputs: Sequence[Value]) -> int:
        rows = {value.shape[0] for value in inputs}
        if len(rows) > 1:
            raise invalid_argument(
                f"Batching session Run() input tensors must have equal 0th-dimension size: {sorted(rows)}"
            )
        size = rows.pop()
        if size > self.parameters.max_batch_size:
            raise invalid_argument(
                f"Task size {size} is larger than maximum input batch size {self.parameters.max_batch_size}"
            )
        return size

    def _enqueue(self, key: tuple, plan: Plan, task: _Task) -> None:
        limit = self.parameters.max_batch_size
        with self._changed:
            batch = self._open.get(key)
            if batch is not None and batch.rows + task.rows > limit:
                self._full.append(self._open.pop(key))
                batch = None
            if batch is None:
                if len(self._open) + len(self._full) >= self.parameters.max_enqueued_batches:
                    raise ServingError(
                        grpc.StatusCode.UNAVAILABLE,
                        "The batch scheduling queue to which this task was submitted is full",
                    )
                due = time.monotonic() + self.parameters.batch_timeout_micros / 1e6
                batch = self._open[key] = _Batch(plan, key, due)
            batch.tasks.append(task)
            batch.rows += task.rows
            if batch.rows >= limit:
                self._full.append(self._open.pop(key))
            self._changed.notify()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            _run(batch, self.parameters)

    def _next(self) -> _Batch | None:
        """A batch that is full or due; waits for one, None at the end."""
        with self._changed:
            while True:
                if self._full:
                    return self._full.pop(0)
                first = min(self._open.values(), key=lambda batch: batch.due, default=None)
                wait = None if first is None else first.due - time.monotonic()
                if first is not None and (wait <= 0 or self._stopped):
                    return self._open.pop(first.key)
                if self._stopped:
                    return None
                self._changed.wait(wait)


def _run(batch: _Batch, parameters: BatchingParameters) -> None:
    """Run a batch and give each task its rows, or the error."""
    try:
        columns = list(zip(*(task.inputs for task in batch.tasks), strict=True))
        joined = [concatenated(values) for values in columns] if len(batch.tasks) > 1 else list(batch.tasks[0].inputs)
        missing = parameters.padded(batch.rows) - batch.rows
        if missing and batch.rows:
            joined = [concatenated([value, *[value.rows(0, 1)] * missing]) for value in joined]
        outputs = batch.plan.run([serialised(value) for value in joined])
        _share_out(batch, outputs, batch.rows + missing)
    except BaseException as error:
        for task in batch.tasks:
            task.error = as_serving_error(error)
    for task in batch.tasks:
        task.done.set()


def _share_out(batch: _Batch, outputs: Sequence[Value], rows: int) -> None:
    for output in outputs:
        if not output.shape or output.shape[0] != rows:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
    first = 0
    for task in batch.tasks:
        task.outputs = [output.rows(first, first + task.rows) for output in outputs]
        first += task.rows


def parameters_of(enabled: bool, file: Path | None) -> BatchingParameters | None:
    """What the flags `enable_batching` and `batching_parameters_file` ask for; None without batching."""
    if file and not enabled:
        raise BatchingError("--batching_parameters_file: --enable_batching has to be set too")
    if not enabled:
        return None
    return read_parameters(file) if file else BatchingParameters()
