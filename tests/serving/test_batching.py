"""Request batching: what is run together, that answers are those of single runs, and the parameters' file."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow import make_ndarray
from tensorflow.core.framework import tensor_pb2
from tiny_model import recommend_inputs

from serving.model_server.batching import Batcher, BatchingError, BatchingParameters, parameters_of, read_parameters
from serving.model_server.errors import ServingError
from serving.model_server.servable import Plan
from serving.model_server.values import Value
from serving.process import ServerProcess


class Doubling:
    """Stands for a graph: doubles float rows and joins text rows; notes the size of each run."""

    def __init__(self):
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def plan(self, batchable: bool = True) -> Plan:
        return Plan((("x", "s"), ("y", "t")), self.run, batchable)

    def run(self, inputs):
        assert self.gate.wait(10)
        x, s = (Value.read(tensor_pb2.TensorProto.FromString(raw)) for raw in inputs)
        self.sizes.append(x.shape[0])
        return [Value.of(x.numpy() * 2), Value.of(np.array([b"<" + t + b">" for t in s.data], object))]


def inputs(start: int, rows: int, width: int = 2) -> list[Value]:
    x = np.arange(start, start + rows * width, dtype=np.float32).reshape(rows, width)
    return [Value.of(x), Value.of(np.array([str(start + row).encode() for row in range(rows)], object))]


def check(outputs: list[Value], asked: list[Value]) -> None:
    np.testing.assert_array_equal(outputs[0].numpy(), asked[0].numpy() * 2)
    assert outputs[1].data == [b"<" + text + b">" for text in asked[1].data]


def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def graph():
    return Doubling()


@pytest.fixture
def batcher():
    made = []

    def make(**parameters) -> Batcher:
        made.append(Batcher(BatchingParameters(**parameters)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_requests_that_wait_are_run_as_one_and_each_gets_its_rows(graph, batcher):
    batching = batcher(max_batch_size=6, batch_timeout_micros=5_000_000, num_batch_threads=1)
    asked = [inputs(0, 1), inputs(10, 3), inputs(20, 2)]
    with ThreadPoolExecutor(3) as pool:
        for outputs, one in zip(pool.map(lambda i: batching.run(graph, graph.plan(), i), asked), asked, strict=True):
            check(outputs, one)
    assert graph.sizes == [6]


def test_a_request_does_not_wait_longer_than_the_timeout(graph, batcher):
    batching = batcher(max_batch_size=100, batch_timeout_micros=1000)
    check(batching.run(graph, graph.plan(), inputs(0, 2)), inputs(0, 2))
    assert graph.sizes == [2]


def test_other_shapes_are_batched_apart(graph, batcher):
    batching = batcher(max_batch_size=2, batch_timeout_micros=50_000)
    asked = [inputs(0, 1), inputs(10, 1, width=3), inputs(20, 1), inputs(30, 1, width=3)]
    with ThreadPoolExecutor(4) as pool:
        for outputs, one in zip(pool.map(lambda i: batching.run(graph, graph.plan(), i), asked), asked, strict=True):
            check(outputs, one)
    assert graph.sizes == [2, 2]


def test_batches_are_filled_up_to_an_allowed_size(graph, batcher):
    batching = batcher(max_batch_size=8, allowed_batch_sizes=(4, 8))
    check(batching.run(graph, graph.plan(), inputs(0, 3)), inputs(0, 3))
    assert graph.sizes == [4]


def test_what_a_batch_refuses(graph, batcher):
    batching = batcher(max_batch_size=2, max_enqueued_batches=1, num_batch_threads=1)
    with pytest.raises(ServingError, match="Task size 3 is larger than maximum input batch size 2"):
        batching.run(graph, graph.plan(), inputs(0, 3))
    with pytest.raises(ServingError, match=r"must have equal 0th-dimension size: \[1, 2\]"):
        batching.run(graph, graph.plan(), [inputs(0, 1)[0], inputs(0, 2)[1]])
    graph.gate.clear()
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(batching.run, graph, graph.plan(), inputs(i, 2)) for i in range(6)]
        wait_until(lambda: sum(future.done() for future in waiting) >= 4)  # one runs, one waits
        graph.gate.set()
        done = [future.exception(10) for future in waiting]
    refused = [error for error in done if error]
    assert all("batch scheduling queue" in error.message and error.http_status == 503 for error in refused)
    assert graph.sizes.count(2) == len(done) - len(refused) <= 2


def test_an_error_of_the_graph_reaches_every_request_of_the_batch(batcher):
    def fail(_):
        raise ValueError("no")

    batching = batcher(max_batch_size=2, batch_timeout_micros=5_000_000)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(batching.run, None, Plan(((), ()), fail, True), inputs(i, 1)) for i in range(2)]
        assert [str(future.exception(10)) for future in futures] == ["ValueError: no"] * 2


_DTYPES = [np.float32, np.float64, np.int32, np.int64, np.bool_, np.float16, np.uint8, np.int16, np.uint64]


@settings(max_examples=60)
@given(st.sampled_from(_DTYPES), st.lists(st.integers(0, 3), min_size=0, max_size=3), st.integers(0, 2**32))
def test_a_value_comes_back_from_the_wire_as_it_was(dtype, shape, seed):
    array = (np.random.default_rng(seed).normal(size=shape) * 100).astype(dtype)
    tensor = tensor_pb2.TensorProto()
    Value.of(array).write(tensor)
    np.testing.assert_array_equal(Value.read(tensor).numpy(), array)
    if array.size:
        np.testing.assert_array_equal(make_ndarray(tensor), array)
    assert Value.read(tensor).dtype == tensor.dtype


def test_parameters_are_read_as_the_real_server_reads_them(tmp_path):
    file = tmp_path / "batching.txt"
    file.write_text(
        "max_batch_size { value: 16 }\nbatch_timeout_micros { value: 500 }\nmax_enqueued_batches { value: 7 }\n"
        'num_batch_threads { value: 3 }\nthread_pool_name { value: "ours" }\nallowed_batch_sizes: 4\n'
        "allowed_batch_sizes: 16\n"
    )
    assert read_parameters(file) == BatchingParameters(16, 500, 7, 3, (4, 16))
    file.write_text("max_batch_size { value: 0 }")
    with pytest.raises(BatchingError, match=r"batching.txt: max_batch_size: 0 is below 1"):
        read_parameters(file)
    file.write_text("max_batch: 1")
    with pytest.raises(BatchingError, match=r"batching.txt: .*max_batch"):
        read_parameters(file)
    file.write_text("max_batch_size { value: 8 }\nallowed_batch_sizes: 4")
    with pytest.raises(BatchingError, match="must increase and end with max_batch_size, 8"):
        read_parameters(file)
    with pytest.raises(BatchingError, match="--enable_batching has to be set too"):
        parameters_of(False, file)
    assert parameters_of(False, None) is None and parameters_of(True, None) == BatchingParameters()


def test_no_request_fails_while_a_batching_server_changes_versions(world, tmp_path):
    """Many clients, by label and by signature, over gRPC; versions come and go; answers are those of one version."""
    from serving.client import ModelClient

    world.add(world.name, 1, 2)
    parameters = tmp_path / "batching.txt"
    parameters.write_text("max_batch_size { value: 8 } batch_timeout_micros { value: 2000 }")
    server = ServerProcess(
        tmp_path / "models.config",
        log_file=tmp_path / "server.log",
        poll_wait_seconds=0.1,
        extra_flags=["--enable_batching", f"--batching_parameters_file={parameters}"],
    )
    scored = {**recommend_inputs([["t1", "t4"]]), "candidates": np.array([["t0", "t2", "none"]], object)}
    del scored["k"]
    with server, ModelClient(server.address) as client:
        client.reload(world.model(world.name, 1))
        alone = {1: client.ask(world.name, scored, "score", version=1).outputs["scores"]}
        client.reload(world.model(world.name, 1, 2))
        client.wait_available(world.name, 2)
        alone[2] = client.ask(world.name, scored, "score", version=2).outputs["scores"]
        client.reload(world.model(world.name, 1, 2, labels={"stable": 1}))
        failures, seen, stop = [], set(), threading.Event()

        def hammer(number: int) -> None:
            signature, asked = ("score", scored) if number % 2 else ("recommend", recommend_inputs([["t1"]]))
            while not stop.is_set():
                try:
                    answer = client.ask(world.name, asked, signature, label="stable")
                    seen.add(answer.version)
                    right = alone[answer.version]  # but for how a sum over more rows is rounded
                    if signature == "score" and not np.allclose(answer.outputs["scores"], right, atol=1e-5):
                        failures.append(f"version {answer.version} answered {answer.outputs['scores']}")
                except Exception as error:
                    failures.append(str(error))

        threads = [threading.Thread(target=hammer, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        try:
            # (one way: a version that comes back is, for a moment, still told as unloaded)
            for old, new in ((1, 2),):
                threading.Event().wait(0.5)
                client.reload(world.model(world.name, old, new, labels={"stable": old}))
                client.wait_available(world.name, new, failed_before=True)
                client.reload(world.model(world.name, old, new, labels={"stable": new}))
                client.reload(world.model(world.name, new, labels={"stable": new}))
                threading.Event().wait(0.5)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert failures == [] and seen == {1, 2}
