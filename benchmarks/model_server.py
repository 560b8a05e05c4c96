"""What the stand-in model server adds to a Predict: the same tiny graph over gRPC and by its session in process.

`python -m benchmarks.model_server [--rate N] [--loading MODEL_FOLDER]`: one client after another, then open-loop
arrivals at N requests/s; latency is counted from the moment a request was due. With `--loading` the server loads
another model (`<folder>/<version>/`) while it answers: what a reload does to the requests meanwhile; and that model is
loaded in process, with TensorFlow rewriting its graphs and without: the work of loading, and of answers then.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.report import Row, write_section

HISTORY, TOP, TRACKS = 50, 10, 2000
WARM, ROUNDS = 200, 20


def export_tiny(folder: Path) -> Path:
    """A SavedModel with the inputs and outputs of a recommender and next to no work: hash lookups and a top-k."""
    import tensorflow as tf

    class Tiny(tf.Module):
        def __init__(self):
            names = tf.constant([f"track-{n}" for n in range(TRACKS)])
            values = tf.range(TRACKS, dtype=tf.int64)
            self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(names, values), -1)
            self.names = names

        def recommend(self, history, exclude, context, k):
            found = tf.cast(self.table.lookup(history), tf.float32)
            scores = tf.reduce_sum(found, 1, keepdims=True) - tf.range(float(TRACKS))[None]
            best, rows = tf.math.top_k(scores, k)
            return {"track_ids": tf.gather(self.names, rows), "scores": best}

    def text(name):
        return tf.TensorSpec([None, None], tf.string, name)

    module = Tiny()
    specs = [text("history"), text("exclude"), text("context"), tf.TensorSpec([], tf.int32, "k")]
    call = tf.function(module.recommend, specs)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": call})
    return folder


def request_of(name: str):
    """A `PredictRequest` as the API sends it."""
    from tensorflow_serving.apis import predict_pb2

    from serving.model_server.values import Value

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    plays = np.array([[f"track-{n * 7 % TRACKS}" for n in range(HISTORY)]], object)
    moment = np.array([["hour=8", "device=phone", "country=SE"]], object)
    for key, value in {"history": plays, "exclude": plays, "context": moment, "k": np.int32(TOP)}.items():
        Value.of(value).write(request.inputs[key])
    return request


def measure(rate: float, seconds: float, count: int, loading: Path | None = None) -> list[Row]:
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    from serving.client import ModelClient
    from serving.config import ModelConfig, empty_server_config, save_server_config, with_model
    from serving.model_server.predict import run_predict
    from serving.model_server.servable import Servable, session_config
    from serving.process import ServerProcess

    with tempfile.TemporaryDirectory() as base:
        folder = export_tiny(Path(base) / "tiny" / "1")
        config = with_model(empty_server_config(), ModelConfig("tiny", str(folder.parent), (1,)))
        save_server_config(Path(base) / "models.config", config)
        request, servable = request_of("tiny"), Servable(folder, session_config(1, -1))
        inside = _one_by_one(lambda: run_predict(servable, 1, request), count)
        with ServerProcess(Path(base) / "models.config") as server, ModelClient(server.address) as client:
            client.wait_available("tiny", 1)
            with grpc.insecure_channel(server.address) as channel:
                ask = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
                wire = _one_by_one(lambda: ask(request), count)
                open_loop = _open_loop(lambda: ask(request), rate, seconds)
                if loading is not None:
                    other = ModelConfig("other", str(loading.resolve()), policy="latest")
                    thread = threading.Thread(target=client.reload, args=(with_model(config, other),))
                    thread.start()
                    meanwhile = _open_loop(lambda: ask(request), rate, seconds)
                    thread.join()
    rows = [
        Row(f"Predict over gRPC, one client, p{p}", "ms", _at(wire, p), "in process", _at(inside, p)) for p in (50, 99)
    ]
    rows += [Row(f"Predict over gRPC, {rate:g}/s open loop, p{p}", "ms", _at(open_loop, p)) for p in (50, 95, 99)]
    if loading is not None:
        rows += [Row(f"the same while a version is loaded, p{p}", "ms", _at(meanwhile, p)) for p in (50, 95, 99)]
        plain, rewritten = (_loaded(loading, optimize) for optimize in (False, True))
        rows.append(Row("Loading that version, processor time", "s", plain[0], "graphs rewritten", rewritten[0]))
        rows.append(Row("A warm-up request then, processor time", "ms", plain[1], "graphs rewritten", rewritten[1]))
    return rows


def _loaded(model: Path, optimize: bool) -> tuple[float, float]:
    """Of the latest version of a model: seconds of processor time to load it with its warm-up, ms of a warm-up request
    afterwards, the best of some rounds."""
    from serving.model_server.servable import Servable, session_config
    from serving.model_server.storage import version_folders
    from serving.model_server.warmup import replay_warmup

    _, folder = max(version_folders(model).items())
    began = time.process_time()
    servable = Servable(folder, session_config(1, -1, optimize))
    requests = replay_warmup(servable, 1)
    took, rounds = time.process_time() - began, []
    for _ in range(ROUNDS):
        began = time.process_time()
        replay_warmup(servable, 1)
        rounds.append(1000 * (time.process_time() - began) / max(1, requests))
    servable.close()
    return took, min(rounds)


def _at(values: list[float], percentile: float) -> float:
    return float(np.percentile(values, percentile))


def _one_by_one(call, count: int) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for number in range(WARM + count):
        began = time.perf_counter()
        call()
        if number >= WARM:
            times.append((time.perf_counter() - began) * 1000)
    return times


def _open_loop(call, rate: float, seconds: float) -> list[float]:
    """Milliseconds from when each request was due (Poisson arrivals), so that waiting counts."""
    due = np.cumsum(np.random.default_rng(0).exponential(1 / rate, int(rate * seconds)))
    times, lock = [], threading.Lock()

    def one(at: float) -> None:
        call()
        with lock:
            times.append((time.perf_counter() - at) * 1000)

    with ThreadPoolExecutor(32) as pool:
        start = time.perf_counter() + 0.05
        for at in due:
            time.sleep(max(0.0, start + at - time.perf_counter()))
            pool.submit(one, start + at)
    return times


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--rate", type=float, default=100, help="requests a second")
    flags.add_argument("--seconds", type=float, default=15)
    flags.add_argument("--count", type=int, default=2000, help="requests one after another")
    flags.add_argument("--loading", type=Path, help="folder of a model's versions, to be loaded meanwhile")
    flags.add_argument("--print", action="store_true", dest="only", help="do not write docs/benchmarks.md")
    given = flags.parse_args()
    rows = measure(given.rate, given.seconds, given.count, given.loading)
    if given.only:
        for row in rows:
            print(
                f"{row.what}: {row.value:.3f} {row.unit}"
                + (f" ({row.compared_with} {row.other:.3f})" if row.other else "")
            )
    else:
        write_section("Model server", rows, "python -m benchmarks.model_server")


if __name__ == "__main__":
    main()
