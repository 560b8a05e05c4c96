"""A synthetic catalogue and its listeners, with a two-stage recommender trained on them: what the load is put on.

Listeners play runs of tracks of a few artists each, artists by a power law, so that there is something to count and to
rank. It is made once for its settings and kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lakehouse.parse import pseudonymiser
from lakehouse.settings import Settings
from models.context import FIELDS, Categories
from models.data import ACOUSTIC, Catalogue, ListeningData

DEVICES = ("phone", "speaker", "desktop")
KEY = "benchmark"  # of the pseudonyms
VERSIONS = (1, 2)
PER_ARTIST = 10


@dataclass(frozen=True)
class WorldConfig:
    """candidates: how many the model ranks for one request; ranker: "trees" or their "student"."""

    tracks: int = 50_000
    listeners: int = 1_500
    plays: int = 100
    candidates: int = 500
    moments: int = 1_000
    trees: int = 150
    ranker: str = "student"
    dim: int = 32
    seed: int = 0


@dataclass(frozen=True)
class World:
    """settings: of a lake with names and popular tracks, an online store and two versions to serve; users: ids."""

    settings: Settings
    users: list[str]


def make_world(config: WorldConfig, folder: Path | None = None, tell=print) -> World:
    """The world of ``config``, made in ``folder`` (default: the cache) unless it is there."""
    name = hashlib.blake2b(json.dumps(asdict(config)).encode(), digest_size=6).hexdigest()
    folder = folder or Settings().cache_dir / f"online-path-{name}"
    settings = Settings(lake=str(folder / "lake"), state=folder / "state", pseudonym_key=KEY, api_rate=0)
    users = [f"user-{i}" for i in range(config.listeners)]
    done = folder / "done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        data = listening(config)
        tell(f"{config.tracks:,} tracks, {len(data.items):,} plays; training …")
        _lake(data, settings, users)
        _store(data, settings, users)
        _export(data, config, settings, tell)
        done.touch()
    return World(settings, users)


def listening(config: WorldConfig) -> ListeningData:
    """Each listener goes through runs of tracks of twelve artists of theirs."""
    rng = np.random.default_rng(config.seed)
    artists = config.tracks // PER_ARTIST
    weight = 1 / np.arange(1, artists + 1) ** 0.8
    own = rng.choice(artists, (config.listeners, 12), p=weight / weight.sum())
    run = rng.integers(0, 12, (config.listeners, config.plays // 6 + 1))
    artist = np.take_along_axis(own, run, 1).repeat(6, 1)[:, : config.plays]
    start = rng.integers(0, PER_ARTIST, run.shape).repeat(6, 1)[:, : config.plays]
    items = (artist * PER_ARTIST + (start + np.arange(config.plays) % 6) % PER_ARTIST).astype(np.int32).reshape(-1)
    n = len(items)
    context = np.full((n, len(FIELDS)), -1, np.int16)
    context[:, FIELDS.index("hour")] = rng.integers(0, 24, n)
    context[:, FIELDS.index("device")] = rng.integers(0, len(DEVICES), n)
    index = np.arange(config.tracks)
    catalogue = Catalogue(
        np.array([f"track-{i:06}" for i in index], dtype=object), (index // PER_ARTIST).astype(np.int32),
        np.full(config.tracks, -1, np.int32), (index // PER_ARTIST % 12).astype(np.int32),
        rng.random((config.tracks, len(ACOUSTIC)), np.float32), artists, 0, 12,
    )  # fmt: skip
    first = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    times = first + np.tile(np.arange(config.plays, dtype=np.int64) * 3_600_000, config.listeners)
    return ListeningData(
        np.array([str(i) for i in range(config.listeners)], dtype=object), catalogue,
        np.arange(config.listeners + 1, dtype=np.int64) * config.plays, items, times, "event", context,
        context_fields=Categories.of(FIELDS, device=DEVICES),
    )  # fmt: skip


def _export(data: ListeningData, config: WorldConfig, settings: Settings, tell) -> None:
    from models.export import export_version
    from models.recommend.sequence.config import GRU4RecConfig
    from models.recommend.two_stage.config import TaskConfig, TwoStageConfig
    from models.recommend.two_stage.lambdamart import LambdaMartConfig
    from models.recommend.two_stage.two_stage import TwoStage
    from serving.config import ModelConfig, empty_server_config, save_server_config, with_model
    from serving.version_index import index_version

    task = TaskConfig((0.8,), config.moments, 20, 40, 0.3, LambdaMartConfig(trees=config.trees))
    sequence = GRU4RecConfig(dim=config.dim, history=50, overlap=10, epochs=1)
    how = TwoStageConfig(history=50, candidates=config.candidates, sequence=sequence, next=task, discover=task,
                         ranker=config.ranker)  # fmt: skip
    model = TwoStage(how).fit(data, lambda step: tell(", ".join(f"{k} {v:.5g}" for k, v in step.items())))
    base = settings.models_dir
    first = export_version(model, base, settings.model_name, VERSIONS[0])
    index = index_version(settings, first)
    tell(f"index of {index.tracks:,} tracks, recall@{index.n} {index.recall:.3f}")
    for version in VERSIONS[1:]:
        shutil.copytree(first, first.with_name(str(version)))
    part = ModelConfig(settings.model_name, str(base / settings.model_name), (1,), {"stable": 1})
    save_server_config(settings.models_config, with_model(empty_server_config(), part))


def _lake(data: ListeningData, settings: Settings, users: list[str]) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    from lakehouse.tables.gold import SEQUENCES, TRACK_FEATURES

    ids, index = data.catalogue.ids.tolist(), np.arange(len(data.catalogue))
    artist = data.catalogue.artist
    columns = {
        "track_id": ids,
        "title": [f"Song {i}" for i in index],
        "artist_id": [f"artist-{a}" for a in artist],
        "artist_name": [f"Artist {a}" for a in artist],
        "genre": [f"genre-{g}" for g in data.catalogue.genre],
        "plays_last_7d": np.bincount(data.items, minlength=len(ids)),
    }
    write_deltalake(settings.table_uri(TRACK_FEATURES.name), pa.table(columns), mode="overwrite")
    key, parts = pseudonymiser(settings.pseudonym_key_bytes()), data.offsets[1:-1]
    sequences = {
        "user_key": [key(user) for user in users],
        "track_ids": [part.tolist() for part in np.split(data.catalogue.ids[data.items], parts)],
        "occurred_at": [part.astype("datetime64[ms]").tolist() for part in np.split(data.times, parts)],
        "clock": [data.clock] * len(users),
    }
    write_deltalake(settings.table_uri(SEQUENCES.name), pa.table(sequences), mode="overwrite")


def _store(data: ListeningData, settings: Settings, users: list[str]) -> None:
    from lakehouse.features.views import USER_SESSION
    from lakehouse.online.store import open_store
    from lakehouse.online.views import VIEWS

    key = pseudonymiser(settings.pseudonym_key_bytes())
    ids = data.catalogue.ids[data.items]
    rows = {
        key(user): {"last_tracks": ids[data.offsets[i] : data.offsets[i + 1]][::-1][:50].tolist()}
        for i, user in enumerate(users)
    }
    with open_store(settings) as store:
        store.put(VIEWS[USER_SESSION.name].schema, rows, datetime.now(UTC))
