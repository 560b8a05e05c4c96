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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.data import UNKNOWN, Catalogue, ListeningData
from models.recommend.base import CatalogueRecommender, Progress
from models.recommend.space import Real, Space

DAY_MS = 86_400_000
DEVICE = "device"
AGE_BANDS = (18, 25, 35, 45, 55, 65)  # years at which a band begins, as audience statistics are usually cut


@dataclass(frozen=True)
class PopularityConfig:
    """``half_life_days`` and ``last_days`` need a true clock; ``half_life_plays`` serves where there is none. All None:
    all time. ``segment``: "" for one list, "device", or the name of what ``labels`` of the model say of a listener.
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

    ``labels``: user -> segment, for a segment other than the device. A request is answered for its device; for another
    kind of segment ask ``segment_scores``.
    """

    def __init__(self, config: PopularityConfig | None = None, labels: Mapping[str, str] | None = None):
        super().__init__()
        self.config, self._labels = config or PopularityConfig(), labels or {}
        kind, segment = self.config.recent, self.config.segment
        self.name = "popularity" + ("_recent" if kind else "") + (f"_{segment}" if segment else "")
        if segment and segment != DEVICE and not self._labels:
            raise ValueError(f"popularity: segment {segment!r} needs labels={{user: {segment}}} of the listeners")

    def fit(self, data: ListeningData, progress: Progress | None = None) -> Popularity:
        self.fit_listeners(data.catalogue, self._counts(data, np.zeros(data.n_plays, np.int64), 1)[0])
        if self.config.segment:
            names, codes = self._segments(data)
            counts = self._counts(data, codes, len(names))
            self._by_segment = {name: self._shrunk(count) for name, count in zip(names, counts, strict=True)}
        elif not self.config.recent:  # counts that differ by 1 leave room below for plays to decide between equals
            self._score += (data.plays / (data.plays.max(initial=0) + 1.0)).astype(np.float32)
        return self

    def fit_listeners(self, catalogue: Catalogue, listeners: np.ndarray) -> Popularity:
        """From counts alone, one a track: what a hold-out carries."""
        self._learn_catalogue(catalogue)
        self._score = np.asarray(listeners, np.float32)
        self._by_segment: dict[str, np.ndarray] = {}
        return self

    def scores(self, histories: list[np.ndarray], hours: np.ndarray, devices: list[str]) -> np.ndarray:
        if self.config.segment == DEVICE:
            return self.segment_scores(devices)
        return np.broadcast_to(self._score, (len(histories), len(self._score)))

    def segment_scores(self, segments: Sequence[str]) -> np.ndarray:
        """float32 [B, I] for the segment of each request; everybody's list for one that is "" or unknown."""
        _ = self.catalogue  # says so when not fitted
        return np.stack([self._by_segment.get(name, self._score) for name in segments])

    def _counts(self, data: ListeningData, codes: np.ndarray, n: int) -> np.ndarray:
        """float64 [n, I]: the weight of each listener's latest play of each track, by the segment (-1: none)."""
        counts = np.zeros((n, data.n_tracks))
        weights = recency(data, self.config)
        last = np.flatnonzero(codes >= 0)[::-1]
        key = (data.user_of_play[last] * n + codes[last]) * data.n_tracks + data.items[last]
        latest = last[np.unique(key, return_index=True)[1]]  # plays are in order, so the first from the end
        np.add.at(counts, (codes[latest], data.items[latest]), weights[latest])
        return counts

    def _segments(self, data: ListeningData) -> tuple[list[str], np.ndarray]:
        """Names and, for each play, the index of its segment, -1 where unknown."""
        if self.config.segment == DEVICE:
            return list(data.device_names), data.devices.astype(np.int64)
        names = sorted(set(self._labels.values()) - {""})
        index = {name: code for code, name in enumerate(names)}
        of_user = [index.get(self._labels.get(user, ""), UNKNOWN) for user in data.users]
        return names, np.asarray(of_user, np.int64)[data.user_of_play]

    def _shrunk(self, count: np.ndarray) -> np.ndarray:
        everybody = self._score / max(self._score.sum(), 1e-12)
        share = (count + self.config.shrinkage * everybody) / max(count.sum() + self.config.shrinkage, 1e-12)
        return share.astype(np.float32)


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


def age_band(age: int | None) -> str:
    """The band of ``AGE_BANDS`` an age in years is in, "" where unknown.

    >>> age_band(17), age_band(30), age_band(80), age_band(None)
    ('-17', '25-34', '65-', '')
    """
    if age is None or age < 0:
        return ""
    starts = (0, *AGE_BANDS)
    band = int(np.searchsorted(starts, age, side="right")) - 1
    first = str(starts[band]) if band else ""
    return f"{first}-{starts[band + 1] - 1}" if band + 1 < len(starts) else f"{first}-"
