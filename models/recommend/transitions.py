"""What is played after what: a decayed, windowed item-to-item transition table, and the baseline that ranks by it.

The weight from track i to track j is an estimate of how often j follows a play of i soon after:

    w(i, j) = (sum over plays of j at distance g <= window after i of decay^(g - 1)  +  backward times the same with i
               after j) / (plays of i + shrinkage)

Sequential rules of this kind are hard to beat on listening sessions (Ludewig & Jannach 2018); the backward share says
that an album heard once in another order still is one album.

People also have sequences of their own. The share of the listener's earlier plays of the track now playing after
which they went on to track j,

    o(j) = (sum over those plays p of 0.5^(k_p / own_half_life) * own_decay^(g - 1), where j was played g <= own_window
            after p)  /  (sum of 0.5^(k_p / own_half_life) + own_shrinkage)

with k_p = 0 for the latest such play, is added ``own`` times. It can only speak for tracks the listener knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from models.data import ListeningData
from models.recommend.base import Progress
from models.recommend.by_history import HistoryRecommender
from models.recommend.interactions import popularity_prior
from models.recommend.space import Real, Space, Whole


@dataclass(frozen=True)
class TransitionConfig:
    """``half_life``: plays after which a play of the history counts half; ``plays``: how many of them count at all.
    ``own``: weight of the listener's own successors, 0 leaves them out."""

    window: int = 10
    decay: float = 0.8
    backward: float = 0.5
    shrinkage: float = 3.0
    half_life: float = 2.0
    plays: int = 50
    own: float = 0.0
    own_window: int = 3
    own_decay: float = 0.3
    own_half_life: float = 2.0
    own_shrinkage: float = 0.5


# Chosen for the very next play on the validation tail of real listening (28 k tracks, 3 k users): 50 trials for the
# table, 40 for the own part (next NDCG@10 .245 by the defaults, .289, .306). The defaults stay better at what is new to
# a listener (discover NDCG@10 .166 against .159), where the own part has no say.
OWN = TransitionConfig(
    window=15, decay=0.65, backward=0.25, shrinkage=3.5, half_life=0.95,
    own=1.3, own_window=3, own_decay=0.4, own_half_life=20.0, own_shrinkage=2.5,
)  # fmt: skip

TRANSITION_SPACE: Space = {
    "window": Whole(1, 20, log=True),
    "decay": Real(0.2, 1.0),
    "backward": Real(0.0, 1.0),
    "shrinkage": Real(0.1, 30.0, log=True),
    "half_life": Real(0.2, 10.0, log=True),
}
OWN_SPACE: Space = TRANSITION_SPACE | {
    "own": Real(0.1, 30.0, log=True),
    "own_window": Whole(1, 10, log=True),
    "own_decay": Real(0.05, 1.0),
    "own_half_life": Real(0.3, 30.0, log=True),
    "own_shrinkage": Real(0.01, 5.0, log=True),
}


class Transitions(HistoryRecommender):
    """Ranks by the transitions from the listener's latest plays; popularity far below breaks what is left."""

    def __init__(self, config: TransitionConfig | None = None):
        super().__init__()
        self.config = config or TransitionConfig()
        self.name = "transitions_own" if self.config.own else "transitions"

    def fit(self, data: ListeningData, progress: Progress | None = None) -> Transitions:
        self._learn(data)
        self._prior = popularity_prior(data)
        self._table = normalised(transition_counts(data, self.config), data.plays, self.config)
        return self

    def score_histories(self, histories: list[np.ndarray]) -> np.ndarray:
        latest = [history[::-1][: self.config.plays] for history in histories]
        offsets = np.concatenate([[0], np.cumsum([len(x) for x in latest])])
        decay = 0.5 ** (np.arange(self.config.plays) / self.config.half_life)
        weights = np.concatenate([decay[: len(x)] for x in latest] or [[]])
        tracks = np.concatenate([*latest, np.zeros(0, np.int64)]).astype(np.int64)
        query = sp.csr_matrix((weights.astype(np.float32), tracks, offsets), shape=(len(latest), len(self.catalogue)))
        scores = (query @ self._table).toarray() + self._prior
        if self.config.own:
            for row, history in zip(scores, histories, strict=True):
                tracks, shares = own_successors(history, self.config)
                np.add.at(row, tracks, self.config.own * shares)
        return scores


def own_successors(history: np.ndarray, config: TransitionConfig) -> tuple[np.ndarray, np.ndarray]:
    """What followed earlier plays of the latest track in this history: tracks (repeated where they followed more than
    once) and what each adds to o(j). A play of the latest track itself says nothing of what follows it."""
    if len(history) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    earlier = np.flatnonzero(history[:-1] == history[-1])[::-1]  # the latest first
    weight = 0.5 ** (np.arange(len(earlier)) / config.own_half_life)
    gaps = np.arange(1, config.own_window + 1)
    after = earlier[:, None] + gaps
    inside = after < len(history)
    tracks = history[np.minimum(after, len(history) - 1)]
    shares = (weight / (weight.sum() + config.own_shrinkage))[:, None] * config.own_decay ** (gaps - 1)
    counted = inside & (tracks != history[-1])
    return tracks[counted], shares[counted].astype(np.float32)


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
