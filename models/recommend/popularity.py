"""The most listened tracks: of all time, of late, or of a segment of listeners. The floor every model has to clear.

A listener counts once for a track, by their latest play of it (plays would let one obsessive listener choose for all):

    all time:  1
    recent:    0.5^(age / half_life), in days where the clock is true and in plays from the listener's end otherwise;
               or 1 within the last ``last_days`` days and 0 before

Within a segment s (a device, a country, an age band) the list is shrunk to everybody's by a Dirichlet prior: with
n_s(j) the count of track j in the segment, N_s its sum, and g(j) the share of j in all counts,

    share_s(j) = (n_s(j) + shrinkage g(j)) / (N_s + shrinkage)

so a small segment ranks as everybody does, and so does one that is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.context import FIELDS, PROFILE_FIELDS
from models.data import Catalogue, ListeningData
from models.recommend.base import CatalogueRecommender, Progress, Queries
from models.recommend.space import Real, Space

DAY_MS = 86_400_000


@dataclass(frozen=True)
class PopularityConfig:
    """``half_life_days`` and ``last_days`` need a true clock; ``half_life_plays`` serves where there is none. All None:
    all time. ``segment``: "" for one list, or a field of the profile or, where it has none of the name, the context.
    ``shrinkage``: listeners of the segment at which its own list weighs as much as everybody's."""

    half_life_days: float | None = None
    half_life_plays: float | None = None
    last_days: float | None = None
    segment: str = ""
    shrinkage: float = 100.0

    def __post_init__(self) -> None:
        for name in ("half_life_days", "half_life_plays", "last_days"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"PopularityConfig.{name}: {value} must be above 0")
        if self.shrinkage < 0:
            raise ValueError(f"PopularityConfig.shrinkage: {self.shrinkage} must not be negative")
        if self.segment and self.segment not in (*FIELDS, *PROFILE_FIELDS):
            raise ValueError(
                f"PopularityConfig.segment: {self.segment!r} is no field of a request; there are "
                f"{', '.join(dict.fromkeys((*PROFILE_FIELDS, *FIELDS)))}"
            )
        if self.last_days is not None and self.half_life_days is not None:
            raise ValueError("PopularityConfig: last_days and half_life_days exclude each other; set one to None")

    @property
    def recent(self) -> bool:
        return any(x is not None for x in (self.half_life_days, self.half_life_plays, self.last_days))


RECENT = PopularityConfig(half_life_days=7.0, half_life_plays=20.0)
POPULARITY_SPACE: Space = {
    "half_life_days": Real(0.5, 100.0, log=True),
    "half_life_plays": Real(1.0, 1000.0, log=True),
}


class Popularity(CatalogueRecommender):
    """Ranks by distinct listeners, then by plays; see the module for what is recent and what a segment does.

    A request whose segment is not known, or was not heard of in training, gets everybody's list.
    """

    def __init__(self, config: PopularityConfig | None = None):
        super().__init__()
        self.config = config or PopularityConfig()
        kind, segment = self.config.recent, self.config.segment
        self.name = "popularity" + ("_recent" if kind else "") + (f"_{segment}" if segment else "")

    def fit(self, data: ListeningData, progress: Progress | None = None) -> Popularity:
        self.fit_listeners(data.catalogue, self._counts(data, np.zeros(data.n_plays, np.int64), 1)[0])
        self._learn(data)
        if self.config.segment:
            codes = self._segments(data)
            self._by_segment = self._shrunk(self._counts(data, codes, int(codes.max(initial=-1)) + 1))
        elif not self.config.recent:  # counts that differ by 1 leave room below for plays to decide between equals
            self._score += (data.plays / (data.plays.max(initial=0) + 1.0)).astype(np.float32)
        return self

    def fit_listeners(self, catalogue: Catalogue, listeners: np.ndarray) -> Popularity:
        """From counts alone, one a track: what a hold-out carries."""
        self._learn_catalogue(catalogue)
        self._score = np.asarray(listeners, np.float32)
        self._by_segment = np.zeros((0, len(self._score)), np.float32)
        return self

    def scores(self, queries: Queries) -> np.ndarray:
        out = np.broadcast_to(self._score, (len(queries), len(self._score)))
        if not self.config.segment:
            return out
        field, of_profile = self.config.segment, self.config.segment in PROFILE_FIELDS
        codes = queries.profile[:, PROFILE_FIELDS.index(field)] if of_profile else queries.of_context(field)
        known = (codes >= 0) & (codes < len(self._by_segment))
        return np.where(known[:, None], self._by_segment[np.where(known, codes, 0)], out) if known.any() else out

    def _counts(self, data: ListeningData, codes: np.ndarray, n: int) -> np.ndarray:
        """float64 [n, I]: the weight of each listener's latest play of each track, by the segment (-1: none)."""
        counts = np.zeros((n, data.n_tracks))
        weights = recency(data, self.config)
        last = np.flatnonzero(codes >= 0)[::-1]
        key = (data.user_of_play[last] * n + codes[last]) * data.n_tracks + data.items[last]
        latest = last[np.unique(key, return_index=True)[1]]  # plays are in order, so the first from the end
        np.add.at(counts, (codes[latest], data.items[latest]), weights[latest])
        return counts

    def _segments(self, data: ListeningData) -> np.ndarray:
        """int64 [N]: the segment of each play, -1 where unknown."""
        if self.config.segment in PROFILE_FIELDS:
            return data.profiles[data.user_of_play, PROFILE_FIELDS.index(self.config.segment)].astype(np.int64)
        return data.of_context(self.config.segment).astype(np.int64)

    def _shrunk(self, counts: np.ndarray) -> np.ndarray:
        """float32 [n, I] of counts [n, I]: shares, everybody's where nothing counts in the segment."""
        everybody = self._score / max(self._score.sum(), 1e-12)
        total = counts.sum(axis=1, keepdims=True)
        shares = (counts + self.config.shrinkage * everybody) / np.maximum(total + self.config.shrinkage, 1e-12)
        return np.where(total > 0, shares, everybody).astype(np.float32)


def recency(data: ListeningData, config: PopularityConfig) -> np.ndarray:
    """float64 [N]: what each play counts by its age.

    Raises ValueError where the setting needs a clock that the data lack.
    """
    if not config.recent:
        return np.ones(data.n_plays)
    if data.times is not None and (config.half_life_days or config.last_days):
        days = (data.times.max(initial=0) - data.times) / DAY_MS
        return (days < config.last_days) * 1.0 if config.last_days else 0.5 ** (days / config.half_life_days)
    if config.half_life_plays is None:
        raise ValueError(
            "popularity: half_life_days and last_days need plays with a true clock, and this source has none; "
            "set PopularityConfig.half_life_plays"
        )
    age = data.offsets[data.user_of_play + 1] - 1 - np.arange(data.n_plays)
    return 0.5 ** (age / config.half_life_plays)
