"""The acoustic features of a track: what each is and where it lies."""

from __future__ import annotations

ACOUSTIC: dict[str, tuple[float, float, str]] = {
    "danceability": (0, 1, "how fit for dancing"),
    "energy": (0, 1, "intensity"),
    "speechiness": (0, 1, "share of spoken words"),
    "acousticness": (0, 1, "confidence that it is acoustic"),
    "instrumentalness": (0, 1, "confidence that nobody sings"),
    "liveness": (0, 1, "confidence that it is a live recording"),
    "valence": (0, 1, "musical positiveness"),
    "loudness": (-80, 10, "loudness, dB"),
    "tempo": (0, 400, "tempo, BPM"),
}
"""name -> (lowest, highest, meaning)."""
