"""Moments with a planted rule: in the morning one genre is played, in the evening the other."""

from __future__ import annotations

import numpy as np

from models.context import FIELDS, PROFILE_FIELDS, Categories
from models.data import ACOUSTIC, Catalogue
from models.recommend.two_stage.examples import RankingExamples

TRACKS, CANDIDATES, FEATURES = 40, 8, 5
CONTEXT = Categories.of(FIELDS, device=("phone", "speaker"), activity=("work", "exercise"))
PROFILE = Categories.of(PROFILE_FIELDS, gender=("f", "m"))


def catalogue() -> Catalogue:
    """40 tracks of 10 artists of 2 genres, alternately; energetic where the genre is 1."""
    index = np.arange(TRACKS)
    genre = (index % 2).astype(np.int32)
    acoustic = np.random.default_rng(0).normal(size=(TRACKS, len(ACOUSTIC))).astype(np.float32)
    acoustic[:, ACOUSTIC.index("energy")] = genre + 0.1 * acoustic[:, 0]
    artist = (index // 4 % 5 * 2 + genre).astype(np.int32)
    ids = np.array([f"track-{i}" for i in index], dtype=object)
    return Catalogue(ids, artist, np.full(TRACKS, -1, np.int32), genre, acoustic, 10, 0, 2)


def moments(n: int = 1500, seed: int = 0, history: int = 12) -> RankingExamples:
    """Played is a candidate of genre 1 from 12 o'clock on and of genre 0 before; the features are noise but for one,
    which helps a little. Energetic tracks are skipped when the listener works; likes are known of half of the plays;
    nothing is known of playlists."""
    rng = np.random.default_rng(seed)
    candidates = np.stack([rng.choice(TRACKS, CANDIDATES, replace=False) for _ in range(n)]).astype(np.int32)
    hour, activity = rng.integers(0, 24, n), rng.integers(0, 2, n)
    fits = candidates % 2 == (hour >= 12)[:, None]
    features = rng.normal(size=(n, CANDIDATES, FEATURES))
    chance = np.where(fits, 5.0, 0.2) * np.exp(features[..., 0])
    chosen = (np.cumsum(chance / chance.sum(1, keepdims=True), 1) > rng.random((n, 1))).argmax(1)
    relevant = np.arange(CANDIDATES) == chosen[:, None]
    energetic = candidates[np.arange(n), chosen] % 2
    outcomes = np.full((n, CANDIDATES, 4), -1, np.int8)
    skipped = rng.random(n) < np.where((energetic == 1) & (activity == 0), 0.9, 0.1)
    outcomes[relevant, 1] = skipped
    outcomes[relevant, 0] = ~skipped
    outcomes[relevant, 2] = np.where(rng.random(n) < 0.5, rng.random(n) < 0.3, -1)
    context = np.full((n, len(FIELDS)), -1, np.int16)
    context[:, FIELDS.index("hour")], context[:, FIELDS.index("activity")] = hour, activity
    plays = rng.integers(0, TRACKS, (n, history)).astype(np.int32)
    plays[np.arange(history) >= rng.integers(0, history + 1, n)[:, None]] = -1
    return RankingExamples(
        features.astype(np.float16), candidates, relevant, plays, context,
        np.full((n, len(PROFILE_FIELDS)), -1, np.int16), outcomes, (np.arange(n) % 50).astype(np.int32),
        np.arange(n),
    )  # fmt: skip
