"""The simulated catalogue: artists with power-law popularity, tracks around the acoustic centre of their subgenre."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from lakehouse.catalogue import Acoustic, Artist, Track
from simulation.genres import (
    AXES,
    GENRE_OF,
    GENRES,
    SUBGENRES,
    TEMPO_HIGH,
    TEMPO_LOW,
    subgenre_centres,
    subgenre_shares,
)
from simulation.names import artist_names, track_titles

HIDDEN = 8  # dimensions of a track that no acoustic attribute shows; only listening does
TRACKS_PER_ARTIST = 7
NEW_RELEASE_SHARE = 0.08
RELEASE_DAYS_MEAN = 60.0  # of the new ones: mean days from the start of the world to the release


@dataclass(frozen=True)
class Tracks:
    """Columns of the catalogue, N tracks in order of (subgenre, artist); ``number`` makes the public id.

    ``vector`` [N, axes + HIDDEN] is standardised; ``acoustic`` [N, axes] are the published values in 0..1;
    ``release_day`` counts from the first day of the world and is negative for what was out before.
    """

    number: np.ndarray
    artist: np.ndarray
    subgenre: np.ndarray
    popularity: np.ndarray
    vector: np.ndarray
    acoustic: np.ndarray
    duration_ms: np.ndarray
    release_day: np.ndarray
    album: np.ndarray
    title: list[str]
    artist_name: list[str]
    artist_number: np.ndarray
    artist_subgenre: np.ndarray
    start: date

    def __len__(self) -> int:
        return len(self.number)

    def track_id(self, index: int) -> str:
        return f"t{self.number[index]:07d}"

    def artist_id(self, artist: int) -> str:
        return f"a{self.artist_number[artist]:06d}"

    def released(self, first_day: int | None, before_day: int) -> np.ndarray:
        """Indices of tracks whose release day is in [first_day, before_day); None: from the beginning."""
        late_enough = True if first_day is None else self.release_day >= first_day
        return np.flatnonzero(late_enough & (self.release_day < before_day))

    def entities(self, indices: Iterable[int]) -> Iterator[Track]:
        for index in map(int, indices):
            artist, (genre, subgenre) = int(self.artist[index]), SUBGENRES[self.subgenre[index]]
            yield Track(
                track_id=self.track_id(index),
                title=self.title[index],
                artist_id=self.artist_id(artist),
                artist_name=self.artist_name[artist],
                album_id=f"{self.artist_id(artist)}-{self.album[index]}",
                genre=GENRES[genre].name,
                subgenre=subgenre,
                duration_ms=int(self.duration_ms[index]),
                release_date=self.start + timedelta(days=int(self.release_day[index])),
                acoustic=self._acoustic(index),
            )

    def artist_entities(self, artists: Iterable[int]) -> Iterator[Artist]:
        for artist in map(int, artists):
            genre = GENRES[SUBGENRES[self.artist_subgenre[artist]][0]]
            yield Artist(artist_id=self.artist_id(artist), name=self.artist_name[artist], genre=genre.name)

    def _acoustic(self, index: int) -> Acoustic:
        values = dict(zip(AXES, self.acoustic[index].round(4).tolist(), strict=True))
        tempo = TEMPO_LOW + (TEMPO_HIGH - TEMPO_LOW) * values.pop("tempo")
        number = int(self.number[index])
        return Acoustic(
            **values,
            tempo=round(tempo, 2),
            loudness=round(-20 + 16 * values["energy"], 2),
            key=number * 7 % 12,
            mode=int(values["valence"] > 0.4),
        )


def create_tracks(rng: np.random.Generator, count: int, start: date) -> Tracks:
    """Draw ``count`` tracks of about ``count / 7`` artists; every artist keeps to one subgenre."""
    artists = max(1, count // TRACKS_PER_ARTIST)
    fame = rng.permutation(1.0 / np.arange(2, artists + 2) ** 0.9)
    artist_subgenre = np.sort(rng.choice(len(SUBGENRES), artists, p=subgenre_shares()))
    artist = np.repeat(np.arange(artists), _sizes(rng, fame, count))
    subgenre = artist_subgenre[artist]
    acoustic, vector = _place(rng, artist, artist_subgenre)
    minutes = np.array([genre.minutes for genre in GENRES])[GENRE_OF[subgenre]]
    return Tracks(
        number=rng.permutation(count),
        artist=artist,
        subgenre=subgenre,
        popularity=fame[artist] * rng.lognormal(0, 1.0, count),
        vector=vector,
        acoustic=acoustic,
        duration_ms=np.clip(minutes * rng.lognormal(0, 0.22, count) * 60_000, 45_000, 1_200_000).astype(np.int64),
        release_day=_release_days(rng, count),
        album=rng.integers(1, 5, count),
        title=track_titles(rng, count),
        artist_name=artist_names(rng, artists),
        artist_number=rng.permutation(artists),
        artist_subgenre=artist_subgenre,
        start=start,
    )


def _sizes(rng: np.random.Generator, fame: np.ndarray, count: int) -> np.ndarray:
    """Tracks per artist: at least one, more for the better known; the sum is ``count``."""
    weight = np.sqrt(fame) * rng.lognormal(0, 0.5, len(fame))
    return 1 + rng.multinomial(count - len(fame), weight / weight.sum())


def _place(rng: np.random.Generator, artist: np.ndarray, artist_subgenre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-> (acoustic [N, axes] in 0..1, standardised vector [N, axes + HIDDEN])."""
    centres = subgenre_centres(rng)
    artists, axes = len(artist_subgenre), len(AXES)
    style = centres[artist_subgenre] + rng.normal(0, 0.05, (artists, axes))
    acoustic = np.clip(style[artist] + rng.normal(0, 0.08, (len(artist), axes)), 0.0, 1.0)
    scenes = rng.normal(0, 0.6, (len(SUBGENRES), HIDDEN))
    manner = scenes[artist_subgenre] + rng.normal(0, 0.7, (artists, HIDDEN))
    hidden = manner[artist] + rng.normal(0, 0.4, (len(artist), HIDDEN))
    vector = np.hstack([acoustic, hidden])
    return acoustic, (vector - vector.mean(axis=0)) / np.maximum(vector.std(axis=0), 1e-9)


def _release_days(rng: np.random.Generator, count: int) -> np.ndarray:
    before = -1 - np.floor(rng.exponential(2500, count)).astype(np.int64)
    after = np.floor(rng.exponential(RELEASE_DAYS_MEAN, count)).astype(np.int64)
    return np.where(rng.random(count) < NEW_RELEASE_SHARE, after, np.maximum(before, -25_000))
