"""The common scorer, where a folder ``shared`` lies beside the checkout, and worlds written in its layout."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from models.data import ListeningData

SHARED = next(
    (p / "shared" for p in Path(__file__).resolve().parents[2:] if (p / "shared/bench/score.py").exists()), None
)
needs_scorer = pytest.mark.skipif(SHARED is None, reason="no shared/bench/score.py beside this checkout or above it")
needs_peers = pytest.mark.skipif(
    SHARED is None or not (SHARED / "bench/peers/30music").exists() or not (SHARED / "data/30music").exists(),
    reason="no shared/bench/peers and shared/data/30music beside this checkout or above it",
)


@cache
def scorer():
    spec = importlib.util.spec_from_file_location("common_scorer", SHARED / "bench/score.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plays_frame(data: ListeningData) -> pd.DataFrame:
    """What the scorer's ``read_sequences`` returns, for our data."""
    return pd.DataFrame({"user_id": data.users[data.user_of_play], "track_id": data.catalogue.ids[data.items]})


def prepared(plays: pd.DataFrame):
    """The scorer's filter and split of the plays."""
    score = scorer()
    train, valid, test, counts = score.split_plays(plays)
    tracks = np.unique(np.concatenate([train.track_id.unique(), test.track_id.unique()]))
    return score.Prepared(train, valid, test, pd.DataFrame({"track_id": tracks}), counts)


def listening_data(plays: pd.DataFrame) -> ListeningData:
    """The scorer's play frame as our data, ids as text."""
    lists = plays.assign(track_id=plays.track_id.astype(str)).groupby("user_id", sort=False).track_id.agg(list)
    batch = pa.RecordBatch.from_pydict(
        {
            "user_key": [str(user) for user in lists.index],
            "track_ids": lists.tolist(),
            "clock": ["synthetic"] * len(lists),
        }
    )
    tracks = pa.RecordBatch.from_pydict({"track_id": sorted(plays.track_id.astype(str).unique())})
    return ListeningData.from_batches([batch], [tracks])
