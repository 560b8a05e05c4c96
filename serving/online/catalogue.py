"""Names of tracks and what is popular, by segment: read from the lake at the start and again in the background.

Within a segment s (a country, an hour of the day) a list is shrunk to everybody's by a Dirichlet prior, as
``models.recommend.popularity`` does it: share(j | s) = (n_s(j) + m g(j)) / (N_s + m), with n_s(j) the plays of track j
in the segment, N_s their sum and g(j) the share of j in all plays. So a small segment ranks as everybody does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lakehouse import arrow, delta_log
from lakehouse.arrow import TableMissing
from lakehouse.contract import Table
from lakehouse.settings import Settings
from lakehouse.tables.features import FEATURE_TABLES
from lakehouse.tables.gold import TRACK_FEATURES
from models.recommend.explain import TrackInfo
from serving.listeners import POPULAR, track_info

LISTED = 300
"""Tracks kept of each list: the longest answer and whatever it has to leave out."""
SHRINKAGE = 200.0
"""Plays of a segment (m above) at which its own list weighs as much as everybody's."""
SEGMENTS = {"country": ("track_country", "country"), "hour": ("track_hour", "local_hour")}
"""Field of the context -> view and column with the plays of that segment; the first that is known counts."""
_TABLES = (TRACK_FEATURES, *(FEATURE_TABLES[view] for view, _ in SEGMENTS.values()))
LOGGER = logging.getLogger(__name__)
Ranked = list[tuple[str, float]]


@dataclass(frozen=True)
class Catalogue:
    """info: see ``TrackInfo``. everybody: (track, share of the plays of the last 7 days), best first; segments: the
    same by (field, value). popular: the first of everybody's, for the reason of that name. versions: of the tables that
    all this was read from."""

    info: TrackInfo = field(default_factory=dict)
    everybody: Ranked = field(default_factory=list)
    segments: Mapping[tuple[str, str], Ranked] = field(default_factory=dict)
    popular: frozenset[str] = frozenset()
    versions: tuple[int | None, ...] = ()

    def ranked(self, context: Mapping[str, Any]) -> tuple[str, Ranked]:
        """-> (name of the list, the list) for a moment: "everybody", or a segment such as "country=FR"."""
        for name in SEGMENTS:
            value = context.get(name)
            found = None if value in (None, "") else self.segments.get((name, str(value)))
            if found:
                return f"{name}={value}", found
        return "everybody", self.everybody


def read_catalogue(settings: Settings, before: Catalogue | None = None) -> Catalogue:
    """What the lake has; empty where it has no tracks yet, ``before`` where nothing has changed since.

    Takes seconds for a large catalogue, in which it competes with requests for the interpreter: so it is not done
    without need, and not in an event loop.
    """
    versions = tuple(_version(settings, table) for table in _TABLES)
    if before is not None and before.versions == versions:
        return before
    try:
        info = track_info(settings)
        plays = arrow.read(settings, TRACK_FEATURES, ["track_id", "plays_last_7d"])
    except TableMissing as error:
        LOGGER.warning("no names of tracks: %s", error)
        return Catalogue()
    ids = plays["track_id"].to_numpy(zero_copy_only=False).astype(object)
    everybody = _shares(ids, plays["plays_last_7d"].to_numpy().astype(np.float64))
    segments = {}
    for name, (view, column) in SEGMENTS.items():
        segments.update(_segments(settings, name, view, column, everybody))
    best = _best(everybody)
    return Catalogue(info, best, segments, frozenset(track for track, share in best[:POPULAR] if share), versions)


def _version(settings: Settings, table: Table) -> int | None:
    found = delta_log.open_table(settings, table)
    return None if found is None else found.version()


def _shares(ids: np.ndarray, plays: np.ndarray) -> dict[str, float]:
    total = plays.sum() or 1.0
    return dict(zip(ids.tolist(), (plays / total).tolist(), strict=True))


def _best(shares: Mapping[str, float]) -> Ranked:
    """By share, equal ones by id."""
    return sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:LISTED]


def _segments(
    settings: Settings, name: str, view: str, column: str, everybody: Mapping[str, float]
) -> dict[tuple[str, str], Ranked]:
    try:
        rows = arrow.read(settings, FEATURE_TABLES[view], ["track_id", column, "plays_7d"])
    except TableMissing:
        return {}
    counts: dict[str, dict[str, float]] = {}
    for track, value, plays in zip(*(rows[c].to_pylist() for c in ("track_id", column, "plays_7d")), strict=True):
        counts.setdefault(str(value), {})[track] = float(plays)
    start = _best(everybody)
    out = {}
    for value, plays in counts.items():
        weight = sum(plays.values()) + SHRINKAGE
        # Whoever is not among everybody's best can only be among the segment's by plays in it.
        tracks = {*plays, *(track for track, _ in start)}
        out[name, value] = _best(
            {track: (plays.get(track, 0.0) + SHRINKAGE * everybody.get(track, 0.0)) / weight for track in tracks}
        )
    return out
