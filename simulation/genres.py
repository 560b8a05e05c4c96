"""The genre tree of the simulated world and where each genre lies in acoustic space.

Shares, acoustic centres and age leanings are plausible round numbers, set by hand; nothing is fitted to a data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The acoustic axes that taste and activities act on, each 0..1 (tempo is scaled from 60..200 BPM).
AXES = ("energy", "danceability", "acousticness", "instrumentalness", "valence", "speechiness", "liveness", "tempo")
TEMPO_LOW, TEMPO_HIGH = 60.0, 200.0


@dataclass(frozen=True)
class Genre:
    """``centre`` follows AXES; ``youth`` > 0 draws the young, < 0 the old; ``minutes`` is a typical length."""

    name: str
    share: float
    centre: tuple[float, ...]
    youth: float
    minutes: float
    subgenres: tuple[str, ...]


GENRES = (
    Genre("pop", 0.22, (0.65, 0.66, 0.25, 0.02, 0.55, 0.08, 0.17, 0.43), 0.4, 3.4,
          ("dance pop", "electropop", "indie pop", "post-teen pop")),
    Genre("hip hop", 0.17, (0.64, 0.74, 0.18, 0.03, 0.50, 0.25, 0.19, 0.45), 0.8, 3.3,
          ("trap", "southern hip hop", "conscious hip hop", "gangster rap")),
    Genre("rock", 0.16, (0.76, 0.51, 0.14, 0.06, 0.52, 0.06, 0.21, 0.46), -0.5, 4.0,
          ("classic rock", "hard rock", "album rock", "alternative rock")),
    Genre("electronic", 0.12, (0.80, 0.66, 0.08, 0.32, 0.42, 0.08, 0.21, 0.47), 0.4, 4.2,
          ("big room", "progressive house", "techno", "ambient")),
    Genre("latin", 0.10, (0.71, 0.71, 0.22, 0.03, 0.62, 0.10, 0.18, 0.42), 0.2, 3.6,
          ("reggaeton", "latin pop", "salsa", "bachata")),
    Genre("r&b", 0.09, (0.55, 0.67, 0.27, 0.03, 0.52, 0.11, 0.17, 0.39), 0.3, 3.8,
          ("neo soul", "urban contemporary", "new jack swing")),
    Genre("metal", 0.04, (0.92, 0.41, 0.02, 0.18, 0.33, 0.09, 0.24, 0.52), 0.0, 4.6,
          ("thrash metal", "metalcore", "doom metal")),
    Genre("folk", 0.04, (0.36, 0.49, 0.70, 0.08, 0.44, 0.04, 0.16, 0.41), -0.3, 3.7,
          ("singer-songwriter", "americana", "celtic folk")),
    Genre("jazz", 0.03, (0.32, 0.53, 0.72, 0.45, 0.50, 0.06, 0.18, 0.38), -0.8, 5.2,
          ("cool jazz", "vocal jazz", "jazz fusion")),
    Genre("classical", 0.03, (0.16, 0.28, 0.93, 0.82, 0.24, 0.04, 0.15, 0.36), -0.7, 5.6,
          ("baroque", "romantic era", "modern classical")),
)  # fmt: skip

SUBGENRES: tuple[tuple[int, str], ...] = tuple(
    (index, name) for index, genre in enumerate(GENRES) for name in genre.subgenres
)  # (index of the genre, name)
GENRE_OF = np.array([genre for genre, _ in SUBGENRES])


def subgenre_shares() -> np.ndarray:
    """Share of the catalogue in each subgenre, [subgenres], sums to 1; the first of a genre is the largest."""
    shares = []
    for genre in GENRES:
        falling = 1.0 / np.arange(1, len(genre.subgenres) + 1) ** 0.6
        shares.extend(genre.share * falling / falling.sum())
    return np.array(shares) / np.sum(shares)


def subgenre_centres(rng: np.random.Generator, spread: float = 0.07) -> np.ndarray:
    """Acoustic centre of each subgenre around that of its genre, [subgenres, axes]."""
    centres = np.array([GENRES[genre].centre for genre in GENRE_OF])
    return np.clip(centres + rng.normal(0, spread, centres.shape), 0.01, 0.99)
