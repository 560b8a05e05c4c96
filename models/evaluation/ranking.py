"""Ranked lists against what was held out: hits once, then every metric of a user from them.

Negatives are never sampled (Krichene & Rendle 2020). Lists are int [U, depth]: indices into the hold-out's catalogue,
best first, -1 for none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from models.data import Catalogue

K = 10
DEPTH = 100
DISCOUNT = 1.0 / np.log2(np.arange(2, DEPTH + 2))
IDEAL = np.concatenate([[1.0], np.cumsum(DISCOUNT[:K])])  # of min(K, relevant); never asked for 0
CHUNK = 1 << 22  # list places looked up at once: bounds memory at about 100 MB


@dataclass(frozen=True)
class Relevant:
    """What one task counts as a hit.

    users: int64 [S], rows of the hold-out that have anything relevant; counts: int64 [S], relevant tracks of each;
    keys: int64 [R], sorted, row of the hold-out * n_items + track.
    """

    users: np.ndarray
    counts: np.ndarray
    keys: np.ndarray
    n_items: int

    @classmethod
    def of(cls, keys: np.ndarray, n_users: int, n_items: int) -> Relevant:
        """From distinct keys in any order, as above."""
        counts = np.bincount(keys // n_items, minlength=n_users)
        users = np.flatnonzero(counts)
        return cls(users, counts[users], np.sort(keys), n_items)

    def only(self, chosen: np.ndarray, n_users: int) -> Relevant:
        """Narrowed to the tracks where ``chosen`` (bool [I]) is true."""
        return Relevant.of(self.keys[chosen[self.keys % self.n_items]], n_users, self.n_items)


@dataclass(frozen=True)
class Ranked:
    """One model's lists for one task, as far as metrics need them; rows are those of ``users``.

    users: int64 [S], rows of the hold-out; counts: int64 [S], relevant tracks; top: int32 [S, K]; and of every hit, by
    row and rank: row, rank (from 0) and item.
    """

    users: np.ndarray
    counts: np.ndarray
    top: np.ndarray
    row: np.ndarray
    rank: np.ndarray
    item: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: np.ndarray) -> Ranked:
        """The chosen rows (bool [S]) alone."""
        number = np.cumsum(rows) - 1
        hits = rows[self.row]
        return Ranked(self.users[rows], self.counts[rows], self.top[rows], number[self.row[hits]],
                      self.rank[hits], self.item[hits])  # fmt: skip

    def only(self, chosen: np.ndarray, relevant: Relevant) -> Ranked:
        """As if nothing but the tracks where ``chosen`` (bool [I]) is true were relevant; ``relevant`` is so narrowed.

        Ranks stay those of the full list; users without such a track are left out.
        """
        hits = chosen[self.item]
        rows = np.isin(self.users, relevant.users)
        less = replace(self, row=self.row[hits], rank=self.rank[hits], item=self.item[hits]).take(rows)
        return replace(less, counts=relevant.counts[np.searchsorted(relevant.users, less.users)])


def find_hits(lists: np.ndarray, relevant: Relevant) -> Ranked:
    """Look every place of every list up. Raises ValueError when a list names a relevant track twice."""
    lists = np.asarray(lists)[relevant.users, :DEPTH]
    depth = lists.shape[1]
    step = max(1, CHUNK // max(depth, 1))
    parts = [_hits(lists[s : s + step], relevant, s) for s in range(0, len(lists), step)]
    row, rank = (np.concatenate(x) for x in zip(*parts, strict=True)) if parts else np.zeros((2, 0), np.int64)
    item = lists[row, rank].astype(np.int64)
    pairs = row * relevant.n_items + item
    pairs.sort()
    twice = pairs[1:][pairs[1:] == pairs[:-1]]
    if len(twice):
        track = int(twice[0] % relevant.n_items)
        raise ValueError(f"ranked lists: a list names track number {track} twice; a model must rank each track once")
    top = np.full((len(lists), K), -1, np.int32)
    top[:, : min(K, depth)] = lists[:, :K]
    return Ranked(relevant.users, relevant.counts, top, row, rank, item)


def _hits(lists: np.ndarray, relevant: Relevant, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (of all lists) and ranks of the hits in a stretch of lists that begins at row ``start``."""
    users = relevant.users[start : start + len(lists)]
    keys = np.where(lists >= 0, users[:, None] * relevant.n_items + lists, -1)
    place = np.searchsorted(relevant.keys, keys)
    hit = relevant.keys[np.minimum(place, len(relevant.keys) - 1)] == keys
    row, rank = np.nonzero(hit)
    return row + start, rank


def accuracy(ranked: Ranked) -> dict[str, np.ndarray]:
    """Per user: recall and NDCG with binary gains (Järvelin & Kekäläinen 2002), reciprocal rank of the first hit.

    float64 [S] each. The ideal DCG is that of min(K, relevant) hits; with one relevant track recall is the hit rate.
    """
    n, near = len(ranked), ranked.rank < K
    first = np.ones(len(ranked.row), bool)
    first[1:] = ranked.row[1:] != ranked.row[:-1]
    reciprocal = np.zeros(n)
    reciprocal[ranked.row[first]] = 1.0 / (ranked.rank[first] + 1)
    return {
        "recall_at_10": np.bincount(ranked.row[near], minlength=n) / ranked.counts,
        "recall_at_100": np.bincount(ranked.row, minlength=n) / ranked.counts,
        "ndcg_at_10": np.bincount(ranked.row[near], DISCOUNT[ranked.rank[near]], minlength=n)
        / IDEAL[np.minimum(ranked.counts, K)],
        "mrr_at_100": reciprocal,
    }


def novelty(top: np.ndarray, listeners: np.ndarray, n_users: int) -> np.ndarray:
    """float64 [S]: mean self-information of each list in bits (Zhou et al. 2010), 0 for an empty list.

    The information of a track is -log2((listeners + 1) / (users + 1)), so that a new track's is finite.
    """
    information = np.append(-np.log2((listeners + 1.0) / (n_users + 1.0)), 0.0)
    return information[top].sum(1) / np.maximum((top >= 0).sum(1), 1)


def has_attributes(catalogue: Catalogue) -> bool:
    """Whether any track's artist or genre is known, without which diversity has no meaning."""
    return bool((catalogue.artist >= 0).any() or (catalogue.genre >= 0).any())


def diversity(top: np.ndarray, catalogue: Catalogue) -> np.ndarray:
    """float64 [S]: mean distance over the pairs of each list (Ziegler et al. 2005); 0 is one artist and genre, 1 is
    all different.

    The distance of two tracks is the share of artist and genre, where known for both, in which they differ.
    """
    codes = [np.where(top >= 0, attribute[top], -1) for attribute in (catalogue.artist, catalogue.genre)]
    total, pairs = np.zeros((2, len(top)))
    for first in range(top.shape[1]):
        for second in range(first + 1, top.shape[1]):
            known, different = np.zeros((2, len(top)))
            for values in codes:
                both = (values[:, first] >= 0) & (values[:, second] >= 0)
                known += both
                different += both & (values[:, first] != values[:, second])
            total += np.divide(different, known, out=np.zeros(len(top)), where=known > 0)
            pairs += known > 0
    return total / np.maximum(pairs, 1)


@dataclass(frozen=True)
class Popularity:
    """Mean number of listeners, per user of the hold-out, over the distinct tracks of the history."""

    listeners: np.ndarray
    of_history: np.ndarray

    @cached_property
    def _padded(self) -> np.ndarray:
        return np.append(self.listeners.astype(np.float64), 0.0)

    def of_lists(self, top: np.ndarray) -> np.ndarray:
        """float64 [S]: the same over each list, 0 for an empty one."""
        return self._padded[top].sum(1) / np.maximum((top >= 0).sum(1), 1)

    def lift_terms(self, ranked: Ranked) -> tuple[np.ndarray, np.ndarray]:
        """Popularity of list and of history per user, float64 [S] each; the quotient of their means is the lift.

        It is GAP(recommended) / GAP(profile), the popularity lift of Abdollahpouri et al. (RecSys 2020) plus one: 1 is
        as popular as what the users chose themselves, 2 twice as popular. Users with an empty list or an empty
        history count in neither.
        """
        history = self.of_history[ranked.users]
        counted = (ranked.top >= 0).any(1) & (history > 0)
        return np.where(counted, self.of_lists(ranked.top), 0.0), np.where(counted, history, 0.0)
