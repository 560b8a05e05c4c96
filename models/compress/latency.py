"""How long models take, each on one thread, in a process of its own: TensorFlow's threads are set once, at its start.

    python -m models.compress.latency FOLDER

FOLDER holds ``inputs.npz`` (arrays by name, one moment), and ``plan.json``: name -> path of a SavedModel folder or a
LiteRT file. Rounds go through all models in turn, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROUNDS, WARM_UP = 200, 10


class Latency(NamedTuple):
    """Milliseconds of an answer."""

    median: float
    p99: float

    @classmethod
    def of(cls, milliseconds: list[float]) -> Latency:
        return cls(float(np.median(milliseconds)), float(np.percentile(milliseconds, 99)))


def latencies(
    models: Mapping[str, Path], inputs: Mapping[str, np.ndarray], folder: Path, rounds: int = ROUNDS
) -> dict[str, Latency]:
    """Of each model for the same ``inputs``. Raises RuntimeError with what the process said where it fails."""
    np.savez(folder / "inputs.npz", **inputs)
    plan = {"rounds": rounds, "models": {name: str(path) for name, path in models.items()}}
    (folder / "plan.json").write_text(json.dumps(plan))
    code = Path(__file__).parents[2]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "models.compress.latency", str(folder)]
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"latency: {' '.join(command)} failed: {done.stderr[-2000:]}")
    found = json.loads((folder / "latencies.json").read_text())
    return {name: Latency.of(values) for name, values in found.items()}


def _main(folder: Path) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    plan = json.loads((folder / "plan.json").read_text())
    inputs = dict(np.load(folder / "inputs.npz"))
    models = {name: _loaded(Path(path)) for name, path in plan["models"].items()}
    taken: dict[str, list[float]] = {name: [] for name in models}
    for number in range(WARM_UP + plan["rounds"]):
        for name, model in models.items():
            started = time.perf_counter()
            model(inputs)
            if number >= WARM_UP:
                taken[name].append((time.perf_counter() - started) * 1e3)
    (folder / "latencies.json").write_text(json.dumps(taken))


def _loaded(path: Path) -> Callable:
    import tensorflow as tf

    from models.compress.litert import LiteModel

    if path.is_dir():
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]

        def answer(inputs, loaded=loaded):
            return signature(**{name: tf.constant(value) for name, value in inputs.items()})["scores"].numpy()

        return answer
    model = LiteModel(path.read_bytes())
    return lambda inputs: model(**inputs)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
