"""Answers of the whole online path under load: API, online store and model server as processes of their own.

python -m benchmarks.online_path [--tracks 50000] [--rate 100] [--seconds 20] [--reload-during] [--out docs/…]

A two-stage recommender is trained on synthetic listening once (minutes; kept in the cache folder), exported and served
by the stand-in model server. The load comes from a further process (``benchmarks.online_load``): one client that
waits, listeners nobody knows, an open loop, and an open loop during which a new version is published.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.online_load import Outcome, table
from benchmarks.online_world import KEY, VERSIONS, World, WorldConfig, make_world
from benchmarks.report import OUT, write_part
from lakehouse.settings import Settings

TITLE = "The online path under load"
_READY_S = 180


@contextmanager
def serving(world: World) -> Iterator[tuple[str, object]]:
    """-> (the API's address, a client of its model server); both are ready, and stopped at the end."""
    from serving.client import ModelClient
    from serving.process import ServerProcess

    settings = world.settings
    with ExitStack() as stack:
        config = first_version(settings)
        server = stack.enter_context(ServerProcess(settings.models_config, log_file=settings.models_dir / "server.log"))
        client = stack.enter_context(ModelClient(server.address))
        client.reload(config)
        yield stack.enter_context(running_api(world.settings, server.address)), client


def first_version(settings):
    """The configuration of the start, whatever a run before has published."""
    from serving.config import ModelConfig, empty_server_config, save_server_config, with_model

    base = str(settings.models_dir / settings.model_name)
    config = with_model(
        empty_server_config(), ModelConfig(settings.model_name, base, VERSIONS[:1], {"stable": VERSIONS[0]})
    )
    save_server_config(settings.models_config, config)
    return config


@contextmanager
def running_api(settings: Settings, model_server: str, **more: str) -> Iterator[str]:
    """The address of an API over a lake whose pseudonyms have the key KEY, in a process of its own; ready.

    more: further variables of its environment.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        "SOUNDLAKE_LAKE": settings.lake,
        "SOUNDLAKE_STATE": str(settings.state),
        "SOUNDLAKE_PSEUDONYM_KEY": KEY,
        "SOUNDLAKE_API_RATE": "0",
        **more,
    }
    command = [sys.executable, "-m", "serving.online", "--port", str(port), "--model-server", model_server]
    log = (settings.models_dir / "api.log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **given})
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + _READY_S
        while not _is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the API does not get ready; read {log.name}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


_SEEDS = itertools.count()


def put_load(url: str, *options: str) -> Outcome:
    """By a process of its own; its questions are others than those of the loads before, which the API remembers."""
    seed = ("--seed", str(next(_SEEDS)))
    command = [sys.executable, "-m", "benchmarks.online_load", url, "--json", *seed, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def publish_after(seconds: float, world: World, client, version: int, said: list[str]) -> threading.Thread:
    """Publish ``version`` in the background after so many seconds; what happens is added to ``said``."""
    from serving.publish import Publisher

    settings, start = world.settings, time.monotonic()

    def publish() -> None:
        time.sleep(seconds)
        publisher = Publisher(
            client, settings.models_config, settings.models_dir, None, settings.model_name,
            on_step=lambda step: said.append(f"{time.monotonic() - start:.1f} s: {step}"),
        )  # fmt: skip
        publisher.stage(version)
        publisher.promote(version)
        said.append(f"{time.monotonic() - start:.1f} s: version {version} answers")

    thread = threading.Thread(target=publish)
    thread.start()
    return thread


def measure(world: World, rate: float, seconds: float, reload_during: bool) -> dict[str, tuple[Outcome, list[str]]]:
    """Name of the load -> what became of it, and what else happened."""
    users = ["--users", str(len(world.users))]
    with serving(world) as (url, client):
        put_load(url, "--rate", "50", "--seconds", "5", *users)  # nobody measures the first answers
        waits = ["--rate", "0", "--seconds", str(seconds)]
        openly = ["--rate", str(rate), "--seconds", str(seconds)]
        out = {
            "one client that waits": (put_load(url, *waits, *users), []),
            "one client that waits, listeners nobody knows": (put_load(url, *waits, "--unknown"), []),
            "one client that waits, the same again": (put_load(url, *waits, "--again"), []),
            f"open loop, {rate:g} a second": (put_load(url, *openly, *users), []),
            f"open loop, {rate:g} a second, listeners nobody knows": (put_load(url, *openly, "--unknown"), []),
        }
        if reload_during:
            said: list[str] = []
            thread = publish_after(seconds / 4, world, client, VERSIONS[1], said)
            out[f"open loop, {rate:g} a second, while a version is published"] = (put_load(url, *openly, *users), said)
            thread.join()
    return out


def report(config: WorldConfig, found: dict[str, tuple[Outcome, list[str]]]) -> str:
    settings = Settings()
    index = config.tracks >= settings.api_index_from
    beside = f" and {settings.api_candidates} of the item index" if index else ", those of the model itself,"
    parts = [
        f"{config.tracks:,} tracks, {config.listeners:,} listeners, two-stage recommender, {config.candidates} "
        f"candidates{beside} ranked, 10 tracks with reasons. "
        f"Milliseconds; `client` counts from the moment a request was due to its last byte, the stages are the API's "
        f"own. Load, API and model server share {os.cpu_count()} cores."
    ]
    for name, (outcome, said) in found.items():
        parts.append(f"**{name}**: {outcome.requests:,} requests, {outcome.throughput:.1f} answered a second, "
                     f"{sum(outcome.errors.values())} failed{_listed(outcome.errors)}, "
                     f"{sum(outcome.degraded.values())} degraded{_listed(outcome.degraded)}, versions "
                     f"{', '.join(f'{v}: {n:,}' for v, n in outcome.versions.items())}.")  # fmt: skip
        parts.append(table(outcome))
        if said:
            parts.append("Published meanwhile: " + "; ".join(said) + ".")
    return "\n\n".join(parts)


def _listed(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{name} {n}' for name, n in counts.items())})" if counts else ""


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--tracks", type=int, default=WorldConfig.tracks)
    flags.add_argument("--candidates", type=int, default=WorldConfig.candidates, help="that the model ranks")
    flags.add_argument("--rate", type=float, default=100)
    flags.add_argument("--seconds", type=float, default=20, help="of each load")
    flags.add_argument("--reload-during", action=argparse.BooleanOptionalAction, default=True)
    flags.add_argument("--folder", type=Path, default=None, help="of the world; default: in the cache folder")
    flags.add_argument("--out", type=Path, default=OUT)
    options = flags.parse_args()
    config = WorldConfig(tracks=options.tracks, candidates=options.candidates)
    world = make_world(config, options.folder)
    found = measure(world, options.rate, options.seconds, options.reload_during)
    write_part(TITLE, report(config, found), "python -m benchmarks.online_path", options.out)
    raw = world.settings.models_dir / "last-run.json"
    raw.write_text(json.dumps({name: asdict(outcome) for name, (outcome, _) in found.items()}, indent=1))


if __name__ == "__main__":
    main()
