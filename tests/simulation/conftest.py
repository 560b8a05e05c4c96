from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from simulation import World
from simulation.log import KIND


@pytest.fixture(scope="session")
def world() -> World:
    return World.create(users=500, tracks=2000, days=8, start=date(2026, 1, 1), seed=11)


@pytest.fixture(scope="session")
def rows(world: World) -> np.ndarray:
    """All rows of the world's window, as they arrive."""
    return np.concatenate([batch.rows for batch in world.events()])


@pytest.fixture(scope="session")
def plays(rows: np.ndarray) -> np.ndarray:
    """Each play once, by listener and time."""
    table = rows[rows["kind"] == KIND["play"]]
    _, first = np.unique(table["day"].astype(np.int64) << 32 | table["number"], return_index=True)
    table = table[first]
    return table[np.lexsort((table["occurred"], table["user"]))]
