"""Which track is next: taste x popularity x activity, artist stickiness, and coming back to known tracks."""

from __future__ import annotations

import numpy as np

from simulation.genres import SUBGENRES
from simulation.rhythm import ACTIVITIES
from simulation.sampling import SegmentSampler, best_of, draw_cumulative
from simulation.sessions import Sessions
from simulation.tracks import Tracks
from simulation.truth import Truth
from simulation.users import Users

CANDIDATES = 5
LIBRARY = 120
ROTATION = 25
REPLAY_CHANCE = 0.02
NOVELTY_BOOST, NOVELTY_DAYS = 4.0, 14.0
_TASTE, _FIT = 1.2, 0.6


def popularity_on(tracks: Tracks, day: int) -> np.ndarray:
    """Weight of every track on ``day``: nothing before its release, a boost that fades after it, [N]."""
    age = day - tracks.release_day
    fresh = 1 + NOVELTY_BOOST * np.exp(-np.maximum(age, 0) / NOVELTY_DAYS)
    return np.where(age >= 0, tracks.popularity * fresh, 0.0)


def create_library(rng: np.random.Generator, users: Users, tracks: Tracks, truth: Truth) -> np.ndarray:
    """The tracks each listener already knows and likes, [U, LIBRARY]; some may appear twice."""
    sampler = SegmentSampler(popularity_on(tracks, -1), _subgenre_bounds(tracks))
    library = np.empty((len(users), LIBRARY), np.int32)
    for start in range(0, len(users), 1000):
        block = np.arange(start, min(start + 1000, len(users)))
        weight = np.cumsum(users.subgenre_weight[block] * (sampler.total > 0), axis=1)
        segment = draw_cumulative(rng, weight, LIBRARY * CANDIDATES)
        candidates = sampler.draw(rng, segment).reshape(-1, CANDIDATES)
        owner = np.repeat(block, LIBRARY)
        score = _TASTE * truth.affinity(owner[:, None], candidates)
        library[block] = best_of(rng, candidates, score).reshape(-1, LIBRARY)
    return library


def weekly_rotation(rng: np.random.Generator, library: np.ndarray, truth: Truth, block_rows: int = 5000) -> np.ndarray:
    """What each listener has on repeat this week, most played first, [U, ROTATION]."""
    rotation = np.empty((len(library), ROTATION), np.int32)
    for start in range(0, len(library), block_rows):
        block = library[start : start + block_rows]
        owner = np.arange(start, start + len(block))[:, None]
        score = truth.affinity(owner, block) + rng.gumbel(size=block.shape)
        rotation[start : start + len(block)] = np.take_along_axis(block, np.argsort(-score, axis=1)[:, :ROTATION], 1)
    return rotation


class TrackChooser:
    """Chooses for many sessions at once, with the popularity of one day."""

    def __init__(self, users: Users, tracks: Tracks, truth: Truth, rotation: np.ndarray, day: int):
        self._users, self._tracks, self._truth, self._rotation = users, tracks, truth, rotation
        popularity = popularity_on(tracks, day)
        self._released = popularity > 0
        bounds, count = _subgenre_bounds(tracks), len(tracks)
        flat = np.concatenate(
            [bounds[:-1] + row * count for row in range(len(ACTIVITIES))] + [[len(ACTIVITIES) * count]]
        )
        self._explore = SegmentSampler((popularity * np.exp(_FIT * truth.activity_fit)).ravel(), flat)
        artist_bounds = np.searchsorted(tracks.artist, np.arange(len(tracks.artist_number) + 1))
        self._by_artist = SegmentSampler(popularity, artist_bounds)
        ranks = 1.0 / np.arange(1, ROTATION + 1) ** 0.8
        self._rank = np.cumsum(ranks / ranks.sum())

    def prepare(self, sessions: Sessions) -> np.ndarray:
        """Cumulative chance of each subgenre in each session, [S, subgenres]: taste x what the activity favours."""
        favour = self._explore.total.reshape(len(ACTIVITIES), len(SUBGENRES))
        plain = np.maximum(favour.sum(axis=0), 1e-12)
        lean = np.where(favour > 0, np.maximum(favour / plain, 1e-3), 0.0)
        return np.cumsum(self._users.subgenre_weight[sessions.user] * lean[sessions.activity], axis=1)

    def choose(
        self, rng: np.random.Generator, sessions: Sessions, at: np.ndarray, genres: np.ndarray, previous: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Next track of the sessions ``at`` -> (track, whether it was known); ``previous`` is -1 at the start."""
        user, activity = sessions.user[at], sessions.activity[at]
        choice = self._explored(rng, sessions, at, genres[at])
        draw = rng.random(len(at))
        rotation = self._rotation[user, np.searchsorted(self._rank, rng.random(len(at)) * (1 - 1e-9), side="right")]
        known = (draw < self._users.familiarity[user]) & self._released[rotation]
        choice = np.where(known, rotation, choice)
        stick = (previous >= 0) & (rng.random(len(at)) < self._users.stickiness[user])
        artist = self._tracks.artist[np.maximum(previous, 0)]
        pair = self._by_artist.draw(rng, np.stack([artist, artist], axis=1))
        pair = np.where(pair == previous[:, None], -1, pair)
        score = self._truth.fit(activity[:, None], pair) + self._truth.affinity(user[:, None], pair)
        same = best_of(rng, pair, score)
        stick &= same >= 0
        choice = np.where(stick, same, choice)
        replay = (previous >= 0) & (rng.random(len(at)) < REPLAY_CHANCE)
        return np.where(replay, previous, choice), (known & ~stick) | replay

    def _explored(self, rng: np.random.Generator, sessions: Sessions, at: np.ndarray, genres: np.ndarray) -> np.ndarray:
        user, activity, wet = sessions.user[at, None], sessions.activity[at, None], sessions.wet[at, None]
        segment = activity * len(SUBGENRES) + draw_cumulative(rng, genres, CANDIDATES)
        candidates = self._explore.draw(rng, segment) - activity * len(self._tracks)
        score = _TASTE * self._truth.affinity(user, candidates) + 0.3 * self._truth.fit(activity, candidates, wet)
        return best_of(rng, candidates, score)


def _subgenre_bounds(tracks: Tracks) -> np.ndarray:
    return np.searchsorted(tracks.subgenre, np.arange(len(SUBGENRES) + 1))
