"""What is played after what: a decayed, windowed item-to-item transition table, and the baseline that ranks by it.

The weight from track i to track j is an estimate of how often j follows a play of i soon after:

    w(i, j) = (sum over plays of j at distance g <= window after i of decay^(g - 1)  +  backward times the same with i
               after j) / (plays of i + shrinkage)

Sequential rules of this kind are hard to beat on listening sessions (Ludewig & Jannach 2018); the backward share says
that an album heard once in another order still is one album.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from models.data import ListeningData
from models.recommend.base import CatalogueRecommender, Progress, Queries


@dataclass(frozen=True)
class TransitionConfig:
    """``half_life``: plays after which a play of the history counts half; ``plays``: how many of them count at all."""

    window: int = 10
    decay: float = 0.8
    backward: float = 0.5
    shrinkage: float = 3.0
    half_life: float = 2.0
    plays: int = 50


class Transitions(CatalogueRecommender):
    """Ranks by the transitions from the listener's latest plays; popularity far below breaks what is left."""

    name = "transitions"

    def __init__(self, config: TransitionConfig | None = None):
        super().__init__()
        self.config = config or TransitionConfig()

    def fit(self, data: ListeningData, progress: Progress | None = None) -> Transitions:
        self._learn(data)
        self._prior = (1e-6 * data.listeners / max(1, data.listeners.max(initial=0))).astype(np.float32)
        self._table = normalised(transition_counts(data, self.config), data.plays, self.config)
        return self

    def scores(self, queries: Queries) -> np.ndarray:
        latest = [history[::-1][: self.config.plays] for history in queries.histories]
        offsets = np.concatenate([[0], np.cumsum([len(x) for x in latest])])
        decay = 0.5 ** (np.arange(self.config.plays) / self.config.half_life)
        weights = np.concatenate([decay[: len(x)] for x in latest] or [[]])
        tracks = np.concatenate([*latest, np.zeros(0, np.int64)]).astype(np.int64)
        query = sp.csr_matrix((weights.astype(np.float32), tracks, offsets), shape=(len(latest), len(self.catalogue)))
        return (query @ self._table).toarray() + self._prior


def transition_counts(data: ListeningData, config: TransitionConfig, plays: np.ndarray | None = None) -> sp.csr_matrix:
    """float32 [I, I]: the numerator of the weights, over all plays or those where ``plays`` (bool [N]) is true.

    Users are taken or left whole: ``plays`` must not cut a user's sequence.
    """
    shape = (data.n_tracks, data.n_tracks)
    total = sp.csr_matrix(shape, dtype=np.float32)
    for distance in range(1, config.window + 1):
        earlier, later = data.items[:-distance], data.items[distance:]
        pair = (data.user_of_play[:-distance] == data.user_of_play[distance:]) & (earlier != later)
        if plays is not None:
            pair &= plays[:-distance]
        weight = np.full(int(pair.sum()), config.decay ** (distance - 1), np.float32)
        total = total + sp.csr_matrix((weight, (earlier[pair], later[pair])), shape=shape)
    return (total + config.backward * total.T).tocsr() if config.backward else total


def normalised(counts: sp.csr_matrix, plays: np.ndarray, config: TransitionConfig) -> sp.csr_matrix:
    """Counts divided by the plays of the row's track (plus shrinkage)."""
    out = (sp.diags(1.0 / (plays + config.shrinkage)) @ counts).tocsr()
    return out.astype(np.float32)


def strongest(table: sp.csr_matrix, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``n`` largest weights of each row: columns int32 [I, n] (-1 where fewer) and weights float32 [I, n]."""
    rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    order = np.lexsort((-table.data, rows))
    place = np.arange(len(rows)) - table.indptr[rows[order]]
    kept = order[place < n]
    columns = np.full((table.shape[0], n), -1, np.int32)
    weights = np.zeros((table.shape[0], n), np.float32)
    columns[rows[kept], place[place < n]] = table.indices[kept]
    weights[rows[kept], place[place < n]] = table.data[kept]
    return columns, weights
