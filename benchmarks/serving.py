"""One answer (history → top 10) over gRPC from the model server, beside the same SavedModel called in process."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.report import Row, write_section
from models.context.wire import sides
from models.recommend.requests import Requests

TOP = 10


def measure_serving(requests: int) -> list[Row]:
    """Nothing is measured where the lake serves no version yet (`soundlake run` makes one)."""
    from lakehouse.settings import get_settings
    from models.saved import SavedRecommender
    from serving.batch import served_version
    from serving.gate import sample_requests
    from serving.lake_model import model_server

    settings = get_settings()
    version = served_version(settings)
    if version is None:
        return []
    folder = settings.models_dir / settings.model_name / str(version)
    asked, _, _ = sample_requests(settings, folder, 100, TOP)
    model = SavedRecommender(folder)
    with model_server(settings) as running:

        def over_the_wire(inputs: dict[str, np.ndarray]) -> None:
            running.client.predict(settings.model_name, inputs, "recommend")

        wire = _milliseconds(over_the_wire, asked, requests)
    local = _milliseconds(lambda inputs: _in_process(model, inputs), asked, requests)
    return [
        Row(
            f"answer over gRPC, p{p}",
            "ms",
            float(np.percentile(wire, p)),
            "SavedModel in process",
            float(np.percentile(local, p)),
        )
        for p in (50, 99)
    ]


def _in_process(model, inputs: dict[str, np.ndarray]) -> None:
    history = [str(track) for track in inputs["history"][0]]
    context, profile = sides({key: [value] for key, _, value in (word.partition("=") for word in inputs["context"][0])})
    model.recommend(Requests.of([history], [history], profile, **context), TOP)


def _milliseconds(call, asked: list[dict[str, np.ndarray]], requests: int) -> list[float]:
    for inputs in asked[:20]:
        call(inputs)
    times = []
    for number in range(requests):
        start = time.perf_counter()
        call(asked[number % len(asked)])
        times.append((time.perf_counter() - start) * 1000)
    return times


def main() -> None:
    from lakehouse.settings import get_settings
    from orchestration.home import prepare

    prepare(get_settings())
    write_section("Answers", measure_serving(500), "python -m benchmarks.serving")


if __name__ == "__main__":
    main()
