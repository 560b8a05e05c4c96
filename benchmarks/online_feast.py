"""Feast's side of the online benchmark; runs in an environment of its own and knows nothing of soundlake.

python online_feast.py STORE TABLE.parquet FOLDER [REDIS]      STORE: sqlite or redis, REDIS: host:port,db=N

Loads the table into Feast's online store and says "ready" on a line of its own. Then, for each line "reads seed" on its
input, reads that many random users one by one, each to a float32 vector, and answers the microseconds as JSON. "check"
answers the sum of each of the first 100 users' vectors. Registry and feature list are cached as Feast's docs advise,
and values are taken from the answer's protobuf, which is quicker than ``to_dict``.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path

os.environ["FEAST_USAGE"] = "False"
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType  # noqa: E402
from feast.types import Float32, Int64  # noqa: E402

ENTITY, TIME, VIEW = "user", "at", "taste"


def open_store(kind: str, folder: Path, redis: str | None) -> FeatureStore:
    sqlite = {"type": "sqlite", "path": str(folder / "online.db")}
    online = sqlite if kind == "sqlite" else {"type": "redis", "connection_string": redis}
    return FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry={"path": str(folder / "registry.db"), "cache_ttl_seconds": 0},  # 0: never read again
            online_store=online,
            entity_key_serialization_version=3,
        )
    )


def load(store: FeatureStore, table: Path) -> tuple[list[str], list[str]]:
    """Declare the view, write every row; -> users, feature references."""
    frame = pd.read_parquet(table)
    names = [name for name in frame.columns if name not in (ENTITY, TIME)]
    kinds = {"int64": Int64, "float32": Float32}
    user = Entity(name=ENTITY, join_keys=[ENTITY], value_type=ValueType.STRING)
    view = FeatureView(
        name=VIEW,
        entities=[user],
        ttl=timedelta(days=3650),
        schema=[Field(name=n, dtype=kinds[str(frame[n].dtype)]) for n in names],
        source=FileSource(path=str(table), timestamp_field=TIME),
    )
    store.apply([user, view])
    store.write_to_online_store(VIEW, frame)
    return frame[ENTITY].tolist(), [f"{VIEW}:{n}" for n in names]


def read(store: FeatureStore, features: list[str], user: str) -> np.ndarray:
    answer = store.get_online_features(features=features, entity_rows=[{ENTITY: user}]).proto
    values = {
        name: result.values[0]
        for name, result in zip(answer.metadata.feature_names.val, answer.results, strict=True)
        if name != ENTITY
    }
    return np.array([getattr(v, v.WhichOneof("val")) for v in values.values()], np.float32)


def main() -> None:
    kind, table, folder, *redis = sys.argv[1:]
    store = open_store(kind, Path(folder), redis[0] if redis else None)
    users, features = load(store, Path(table))
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "check":
            print(json.dumps([float(read(store, features, user).sum()) for user in users[:100]]), flush=True)
            continue
        number, seed = map(int, line.split())
        times = []
        for user in random.Random(seed).choices(users, k=number):
            start = time.perf_counter_ns()
            read(store, features, user)
            times.append((time.perf_counter_ns() - start) / 1000)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
