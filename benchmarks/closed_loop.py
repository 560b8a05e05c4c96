"""The closed loop: listeners ask and listen, events land, a new version is trained and answers the next round.

python -m benchmarks.closed_loop [--rounds 5] [--seeds 5] [--mode light|full] [--model two_tower] [--folder …]

A world is simulated for each seed. A few of its sessions are the history that the first version learns from; then a
round a day: every session of the day asks the API over HTTP for what it plays, and the same sessions live through the
lists of other policies with the same random numbers. Beside that listeners go on choosing by themselves at times, which
lands in the lake too and which every policy sees. `light` and `full` are two ways from what landed to the next
version, see docs/closed-loop.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.closed_loop_light import LightConfig, LightWay, kept_by_listener
from benchmarks.closed_loop_lines import (
    ApiLine,
    Engagement,
    Line,
    PopularityLine,
    RandomLine,
    Round,
    TruthLine,
    live_round,
)
from benchmarks.online_world import KEY
from lakehouse.settings import Settings
from simulation.live import moments
from simulation.live_http import Api, Listeners
from simulation.log import KIND
from simulation.world import DayBatch, World

START = date(2026, 1, 1)
REFRESH_S = 2.0  # the API reads popular tracks again so often, and each round waits for it


@dataclass(frozen=True)
class LoopConfig:
    """listeners, tracks: of the world; history_days, history_share: sessions that were before the first version;
    own_share: of the world's own sessions of each round's day, in which listeners choose by themselves; k: tracks of a
    list; longest: plays of a session, at most."""

    rounds: int = 5
    listeners: int = 200
    tracks: int = 1000
    history_days: int = 1
    history_share: float = 0.1
    own_share: float = 0.5
    k: int = 10
    longest: int = 20
    light: LightConfig = field(default_factory=LightConfig)


def begin(config: LoopConfig, seed: int, settings: Settings) -> World:
    """The world of a seed, its catalogue and the history in the raw zone."""
    from lakehouse.sources import RawWriter

    world = World.create(config.listeners, config.tracks, config.history_days, START, seed)
    with RawWriter(settings.lake, "simulation") as writer:
        for entity in world.catalogue():
            writer.write(entity, START)
        for batch in world.events():
            writer.write_all(_some(batch, config.history_share))
    return world


def listen_elsewhere(config: LoopConfig, world: World, settings: Settings, day: int) -> dict[int, list[int]]:
    """The world's own day, or a share of its sessions, to the raw zone; -> listener -> tracks not skipped."""
    from lakehouse.sources import RawWriter

    (batch,) = world.events(day, 1)
    batch = _some(batch, config.own_share)
    with RawWriter(settings.lake, "simulation") as writer:
        writer.write_all(batch)
    rows = batch.rows[batch.rows["day"] == day]
    skipped = rows["ref"][rows["kind"] == KIND["skip"]]
    plays = rows[(rows["kind"] == KIND["play"]) & ~np.isin(rows["number"], skipped)]
    plays = plays[np.unique(plays["number"], return_index=True)[1]]  # some arrive twice; in the order of their begin
    return {int(user): plays["track"][plays["user"] == user].tolist() for user in np.unique(plays["user"])}


def _some(batch: DayBatch, share: float) -> DayBatch:
    """The events of about so many of its sessions."""
    chosen = (batch.rows["session"] >= 0) & (batch.rows["session"] * 7919 % 1000 < round(share * 1000))
    return replace(batch, rows=batch.rows[chosen])


def play_rounds(
    config: LoopConfig,
    world: World,
    settings: Settings,
    address: str,
    turn: Callable[[], dict[str, float]],
    tell: Callable[[str], None] = print,
    wait: float = REFRESH_S,
) -> list[Round]:
    """``turn`` makes the next version of what landed; the first one answers already at ``address``."""
    people = Listeners(world, Api(address), config.k, explain=False)
    history = kept_by_listener(settings, world)
    others: list[Line] = [made(world, history) for made in (PopularityLine, RandomLine, TruthLine)]
    lines, rounds = [ApiLine(world, people), *others], []
    for number in range(config.rounds):
        seen, began = people.summary, time.monotonic()
        versions, degraded = Counter(seen.versions), Counter(seen.degraded)
        day = list(moments(world, config.history_days + number, longest=config.longest))
        found = live_round(lines, day, config.k)
        seconds = {"listen": time.monotonic() - began}
        rounds.append(Round(number, found, dict(seen.versions - versions), dict(seen.degraded - degraded), seconds))
        tell(_line(rounds[-1]))
        if number + 1 < config.rounds:
            elsewhere = listen_elsewhere(config, world, settings, config.history_days + number)
            for line in lines:
                line.elsewhere(elsewhere)
                line.learn()
            seconds |= turn()
            time.sleep(wait)
    return rounds


@contextmanager
def light(config: LoopConfig, seed: int, folder: Path):
    """-> (world, settings, address of the API, the way round), the first version answering."""
    from benchmarks.online_path import running_api
    from serving.client import ModelClient
    from serving.process import ServerProcess

    settings = Settings(lake=str(folder / "lake"), state=folder / "state", pseudonym_key=KEY, api_rate=0)
    world = begin(config, seed, settings)
    log = settings.models_dir / "server.log"
    with ServerProcess(settings.models_config, log_file=log) as server, ModelClient(server.address) as client:
        way = LightWay(settings, world, client, config.light)
        way.turn()
        more = {"SOUNDLAKE_API_REFRESH_SECONDS": str(REFRESH_S / 2), "SOUNDLAKE_API_MODEL_TIMEOUT_MS": "2000"}
        with running_api(settings, server.address, **more) as address:
            yield world, settings, address, way.turn


def measure(config: LoopConfig, seeds: int, mode: str, folder: Path, tell=print) -> dict[int, list[Round]]:
    """Seed -> its rounds; what is done is kept in ``folder`` and not done again."""
    from benchmarks.closed_loop_full import full

    begun = {"light": light, "full": full}[mode]
    how = json.dumps(asdict(replace(config, rounds=0)))
    name = f"{mode}-{hashlib.blake2b(how.encode(), digest_size=4).hexdigest()}"
    out = {}
    for seed in range(1, seeds + 1):
        kept = folder / f"{name}-{seed}.json"
        done = [_read(one) for one in json.loads(kept.read_text())] if kept.exists() else []
        if len(done) >= config.rounds:
            out[seed] = done[: config.rounds]
            continue
        tell(f"seed {seed} of {seeds}")
        with (
            tempfile.TemporaryDirectory(prefix="soundlake-loop-") as place,
            begun(config, seed, Path(place)) as (world, settings, address, turn),
        ):
            out[seed] = play_rounds(config, world, settings, address, turn, tell)
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([asdict(one) for one in out[seed]]))
    return out


def _read(kept: dict) -> Round:
    lines = {name: Engagement(**sums) for name, sums in kept["lines"].items()}
    return Round(**{**kept, "lines": lines})


def _line(one: Round) -> str:
    shares = ", ".join(f"{name} {found.measures()['kept']:.3f}" for name, found in one.lines.items())
    who = ", ".join(f"{name} {n}" for name, n in {**one.versions, **one.degraded}.items())
    return f"  round {one.number}: kept {shares}; lists by {who}; {one.seconds['listen']:.0f} s"


def main() -> None:
    from benchmarks.closed_loop_report import write

    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--rounds", type=int, default=LoopConfig.rounds)
    flags.add_argument("--seeds", type=int, default=5)
    flags.add_argument("--mode", choices=("light", "full"), default="light")
    flags.add_argument("--model", default=LightConfig.model, help="that the light way trains: two_tower or two_stage")
    flags.add_argument("--listeners", type=int, default=LoopConfig.listeners)
    flags.add_argument("--tracks", type=int, default=LoopConfig.tracks)
    flags.add_argument("--history-days", type=int, default=LoopConfig.history_days)
    flags.add_argument("--history-share", type=float, default=LoopConfig.history_share, help="of the sessions then")
    flags.add_argument("--own-share", type=float, default=LoopConfig.own_share, help="of sessions without lists")
    flags.add_argument("--folder", type=Path, help="where finished seeds are kept; default: a new temporary folder")
    flags.add_argument("--docs", type=Path, default=Path("docs"))
    options = flags.parse_args()
    config = LoopConfig(
        options.rounds,
        options.listeners,
        options.tracks,
        options.history_days,
        options.history_share,
        options.own_share,
        light=LightConfig(options.model),
    )
    folder = options.folder or Path(tempfile.mkdtemp(prefix="soundlake-loop-seeds-"))
    write(config, options.mode, measure(config, options.seeds, options.mode, folder), options.docs)


if __name__ == "__main__":
    main()
