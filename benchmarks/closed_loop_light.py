"""The light way round: events that landed to a trained, published model without the asset graph.

Real: the landing zone, ingestion to bronze and silver.listens (the functions that the graph's assets call), export,
staging, the comparison of the server's answers, promotion, the online store. Instead of the graph: one model of the
line-up is fit here, on what listeners kept, and the tables that only the API reads (names of tracks, plays) are written
from here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from lakehouse.gold.behaviour import OF_PLAYS
from lakehouse.settings import Settings
from models.data import ListeningData
from simulation.world import World

HISTORY = 50  # plays in the online store's view
CHECKED = 20  # listeners whose lists the server must give as the trained model does
_COLUMNS = {name: of for name, of in OF_PLAYS.items() if name not in ("sessions", "liked", "added")}


@dataclass(frozen=True)
class LightConfig:
    """model: two_tower or two_stage; dim, epochs, steps: of its network."""

    model: str = "two_tower"
    dim: int = 32
    epochs: int = 2
    steps: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"--model {self.model!r}: there are {', '.join(MODELS)}")


def _two_tower(config: LightConfig):
    from models.recommend.config import TwoTowerConfig
    from models.recommend.two_tower import TwoTower

    how = TwoTowerConfig(
        dim=config.dim, epochs=config.epochs, min_steps=config.steps, seed=config.seed, memory_neighbours=0
    )  # of days of listening the transitions are too few to count, and cost half the time
    return TwoTower(how)


def _two_stage(config: LightConfig):
    from models.recommend.sequence.config import GRU4RecConfig
    from models.recommend.two_stage.config import TaskConfig, TwoStageConfig
    from models.recommend.two_stage.lambdamart import LambdaMartConfig
    from models.recommend.two_stage.two_stage import TwoStage

    task = TaskConfig((0.8,), 1000, 20, 40, 0.3, LambdaMartConfig(trees=60))
    sequence = GRU4RecConfig(dim=config.dim, history=50, overlap=10, epochs=config.epochs)
    how = TwoStageConfig(history=HISTORY, candidates=200, sequence=sequence, next=task, discover=task, seed=config.seed)
    return TwoStage(how)


MODELS: dict[str, Callable] = {"two_tower": _two_tower, "two_stage": _two_stage}


class _SparkIfNeeded:
    """Starts Spark when somebody asks it for something: small, faultless dumps need none."""

    def __init__(self, settings: Settings):
        self._settings = settings

    def __getattr__(self, name: str):
        from lakehouse.spark import get_spark

        return getattr(get_spark(self._settings), name)


class LightWay:
    """One lake, and how what landed in it becomes the next version."""

    def __init__(self, settings: Settings, world: World, client, config: LightConfig):
        from lakehouse.lake import Lake
        from serving.publish import Publisher

        self.settings, self.world, self.config = settings, world, config
        self.lake = Lake(_SparkIfNeeded(settings), settings)
        self.version = 0
        self._tracks = track_batch(world)
        folders = settings.models_config, settings.models_dir, None
        self._publisher = Publisher(client, *folders, settings.model_name)

    def turn(self) -> dict[str, float]:
        """Landed events to the next version, which answers from here on; -> seconds of each step."""
        clock, seconds = time.monotonic(), {}
        for step in (self.ingest, self.train, self.publish, self.materialise):
            step()
            seconds[step.__name__] = time.monotonic() - clock
            clock = time.monotonic()
        return seconds

    def ingest(self) -> None:
        """Whatever landed and is not in the ledger yet, to bronze and silver.listens."""
        from lakehouse.ingest import ingest_files, pending
        from lakehouse.refine import events as refine
        from lakehouse.tables.silver import LISTENS

        found = pending(self.settings)
        if found:
            days = [f.file.landing_date for f in found]
            ingest_files(self.lake, found)
            self.lake.write(LISTENS, refine.listens((min(days), max(days))))

    def data(self) -> ListeningData:
        """Plays that were not skipped, of all listeners."""
        whole = listening(self.settings, self._tracks)
        return whole.keep(whole.skipped != 1)

    def train(self) -> None:
        self.kept = self.data()
        self.model = MODELS[self.config.model](self.config).fit(self.kept)

    def publish(self) -> None:
        """Export, stage, compare the server's answers with the model's, promote; raises PublishError."""
        from models.export import export_version
        from models.recommend.base import Requests
        from serving.publish import PublishError
        from serving.recommend import inputs_of
        from serving.version_index import index_version

        self.version += 1
        folder = export_version(self.model, self.settings.models_dir, self.settings.model_name, self.version)
        if (folder / "assets.extra" / "item_vectors.npy").exists():
            index_version(self.settings, folder)
        histories = [h[-HISTORY:] for h in self.kept.histories(range(min(CHECKED, self.kept.n_users)))]
        wanted = [self.model.recommend(Requests.of([h]), 10) for h in histories]
        asked = [{**inputs_of(h), "k": np.int32(10)} for h in histories]
        self._publisher.stage(self.version)
        ids, scores = zip(*wanted, strict=True)
        seen = self._publisher.verify(self.version, asked, list(ids), list(scores), tolerance=1e-3)
        if not seen.ok:
            self._publisher.unstage()
            raise PublishError(f"version {self.version}: {seen.first_disagreement}")
        self._publisher.promote(self.version)

    def materialise(self) -> None:
        """What the API reads of listeners and tracks: the last tracks kept, names, plays."""
        from deltalake import write_deltalake

        from lakehouse.features.views import USER_SESSION
        from lakehouse.online.store import open_store
        from lakehouse.online.views import VIEWS
        from lakehouse.tables.gold import TRACK_FEATURES

        users, histories = self.kept.users.tolist(), self.kept.histories()
        rows = {user: {"last_tracks": h[::-1][:HISTORY]} for user, h in zip(users, histories, strict=True) if h}
        with open_store(self.settings) as store:
            store.put(VIEWS[USER_SESSION.name].schema, rows, datetime.now(UTC))
        names = ["track_id", "title", "artist_id", "artist_name", "genre"]
        table = pa.table({name: self._tracks[name] for name in names} | {"plays_last_7d": self.kept.plays})
        write_deltalake(self.settings.table_uri(TRACK_FEATURES.name), table, mode="overwrite")


def kept_by_listener(settings: Settings, world: World) -> dict[int, list[int]]:
    """Listener -> tracks not skipped so far, oldest first, by the world's own numbers."""
    from lakehouse.parse import pseudonymiser

    key, data = pseudonymiser(settings.pseudonym_key_bytes()), listening(settings, track_batch(world))
    data = data.keep(data.skipped != 1)
    who = {key(world.users.user_id(i)): i for i in range(len(world.users))}
    place = {world.tracks.track_id(i): i for i in range(len(world.tracks))}
    of = np.array([place[track] for track in data.catalogue.ids])
    return {who[user]: of[data.history(u)].tolist() for u, user in enumerate(data.users)}


def track_batch(world: World) -> pa.RecordBatch:
    """All tracks of the world with names and acoustics, as gold.track_features has them."""
    rows = []
    for track in world.tracks.entities(np.arange(len(world.tracks))):
        named = ("track_id", "title", "artist_id", "artist_name", "album_id", "genre", "subgenre")
        row = {name: getattr(track, name) for name in named}
        rows.append(row | {name: getattr(track.acoustic, name) for name in track.acoustic.__struct_fields__})
    return pa.RecordBatch.from_pylist(rows)


def listening(settings: Settings, tracks: pa.RecordBatch) -> ListeningData:
    """silver.listens as the models read gold.sequences."""
    from lakehouse import arrow
    from lakehouse.tables.silver import LISTENS

    wanted = list(dict.fromkeys(["user_key", "event_id", *_COLUMNS.values()]))
    rows = arrow.read(settings, LISTENS, wanted)
    rows = rows.sort_by([("user_key", "ascending"), ("occurred_at", "ascending"), ("event_id", "ascending")])
    users = rows["user_key"].to_numpy(zero_copy_only=False)
    first = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
    offsets = pa.array(np.r_[first, len(users)].astype(np.int32))
    lists = {}
    for name, source in _COLUMNS.items():
        values = rows[source].combine_chunks()
        if source == "occurred_at":
            values = values.cast(pa.timestamp("ms", "UTC"), safe=False)
        lists[name] = pa.ListArray.from_arrays(offsets, values)
    batch = {"user_key": pa.array(users[first]), "clock": pa.array(["event"] * len(first)), **lists}
    return ListeningData.from_batches([pa.RecordBatch.from_pydict(batch)], [tracks])
