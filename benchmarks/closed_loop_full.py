"""The full way round: `soundlake run` between the rounds, with small settings: every asset, check and gate."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from benchmarks.online_world import KEY
from lakehouse.settings import Settings

SMALL = {
    "SOUNDLAKE_TRAIN_MODELS": "popularity,two_tower,two_stage",
    "SOUNDLAKE_TRAIN_EPOCHS": "1",
    "SOUNDLAKE_TRAIN_DIM": "32",
    "SOUNDLAKE_TRAIN_MOMENTS": "500",
    "SOUNDLAKE_SPARK_MEMORY": "1g",
}
_TAIL = 3000


@contextmanager
def full(config, seed: int, folder: Path):
    """As ``closed_loop.light``; the model server stays the same through all runs of the graph."""
    from benchmarks.closed_loop import REFRESH_S, begin
    from benchmarks.online_path import running_api
    from serving.process import ServerProcess

    settings = Settings(lake=str(folder / "lake"), state=folder / "state", pseudonym_key=KEY, api_rate=0)
    world = begin(config, seed, settings)
    with ServerProcess(settings.models_config, log_file=settings.models_dir / "server.log") as server:

        def turn() -> dict[str, float]:
            began = time.monotonic()
            run_graph(settings, server.address)
            return {"graph": time.monotonic() - began}

        turn()
        more = {"SOUNDLAKE_API_REFRESH_SECONDS": str(REFRESH_S / 2), "SOUNDLAKE_API_MODEL_TIMEOUT_MS": "2000"}
        with running_api(settings, server.address, **more) as address:
            yield world, settings, address, turn


def run_graph(settings: Settings, model_server: str) -> None:
    """`soundlake run` in a process of its own; raises RuntimeError with the end of what it printed."""
    given = {
        "SOUNDLAKE_LAKE": settings.lake,
        "SOUNDLAKE_STATE": str(settings.state),
        "SOUNDLAKE_PSEUDONYM_KEY": KEY,
        "SOUNDLAKE_SERVING_ADDRESS": model_server,
        **SMALL,
    }
    command = [sys.executable, "-c", "from orchestration.cli import main; main()", "run"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **given})
    print(done.stdout[-_TAIL:])
    if done.returncode:
        raise RuntimeError(f"soundlake run ended with {done.returncode}: {(done.stdout + done.stderr)[-_TAIL:]}")
