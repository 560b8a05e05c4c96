"""From a ranked list to the one that is shown: diversity, a cap on an artist's tracks, exploration with propensities.

Exploration comes last and keeps no cap: what may be shown in a slot must not depend on what was drawn before it in any
other way than that it is not drawn twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.recommend.diversify import Diversity, diversify
from models.recommend.explain import TrackInfo, attribute_key
from models.recommend.explore import Exploration, explore
from models.recommend.similarity import ARTIST, GENRE, Similarity
from models.vocabulary import tie_order


@dataclass(frozen=True)
class Arrangement:
    """What is done to a list before it is shown; None leaves that out. request_id: exploration of a request is the same
    whenever it is asked again."""

    diversity: Diversity | None = None
    exploration: Exploration | None = None
    request_id: str = ""

    def __post_init__(self) -> None:
        if self.exploration is not None and not self.request_id:
            raise ValueError("Arrangement.request_id: is empty; exploration draws by it, so give each request its own")

    def depth(self, k: int) -> int:
        """Tracks of the model that are needed for a list of ``k``."""
        pool = self.diversity.pool if self.diversity else 0
        return max(k, pool, k + (self.exploration.pool if self.exploration else 0))


@dataclass(frozen=True)
class Place:
    """One place of a list as shown. propensity: chance that this track is shown in this place, 1 without exploration;
    given: the same given the places before it, see :class:`models.recommend.explore.Shown`."""

    track_id: str
    score: float
    explored: bool = False
    propensity: float = 1.0
    given: float = 1.0


def arranged(tracks: Sequence[tuple[str, float]], k: int, how: Arrangement, info: TrackInfo) -> list[Place]:
    """At most ``k`` places from a ranked list of (id, score), best first. info: as of ``serving.recommend.recommend``;
    tracks are alike by artist and genre, as far as they are known there."""
    ids, scores = [track for track, _ in tracks], np.array([score for _, score in tracks], np.float64)
    order = np.arange(len(ids))
    if how.diversity is not None and len(ids):
        pool = ids[: how.diversity.pool]
        artist, genre = (_codes(pool, info, attribute) for attribute in ("artist", "genre"))
        alike = Similarity.of_attributes([artist, genre], [ARTIST / (ARTIST + GENRE), GENRE / (ARTIST + GENRE)])
        picked = diversify(scores[: len(pool)], alike, k, how.diversity, artist, tie_order(pool))
        order = np.concatenate([picked, np.setdiff1d(order, picked)]) if len(picked) == k else picked
    places = [Place(ids[i], float(scores[i])) for i in order[:k]]
    if how.exploration is None:
        return places
    shown = explore(scores[order], k, how.request_id, how.exploration)
    chances = (shown.explored.tolist(), shown.propensity.tolist(), shown.given.tolist())
    drawn = zip(order[shown.place], *chances, strict=True)
    return [Place(ids[i], float(scores[i]), *more) for i, *more in drawn]


def _codes(ids: Sequence[str], info: TrackInfo, attribute: str) -> np.ndarray:
    """int64 [N]: a number for each value of an attribute, -1 where it is unknown."""
    numbers: dict[str, int] = {}
    values = (attribute_key(track, attribute, info) for track in ids)
    return np.array([-1 if value is None else numbers.setdefault(value, len(numbers)) for value in values], np.int64)
