"""Which track a row of an eventsim log is about."""

from __future__ import annotations

from typing import Any

from lakehouse.catalogue import Artist, Track
from lakehouse.sources.base import stable_id


class Songs:
    """Tracks of the song metadata by artist and title; others get ids derived from both."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], str] = {}
        self._seen: set[str] = set()

    def add(self, track: Track) -> None:
        self._seen.add(track.track_id)
        if track.title and track.artist_name:
            self._by_name.setdefault(_key(track.artist_name, track.title), track.track_id)

    def is_new(self, entity_id: str) -> bool:
        """True once for each id."""
        if entity_id in self._seen:
            return False
        self._seen.add(entity_id)
        return True

    def of_play(self, row: dict[str, Any]) -> tuple[str, list[Track | Artist]]:
        """-> (track id, entities that were not known before)."""
        artist, title = row["artist"], row["song"]
        known = self._by_name.get(_key(artist, title))
        if known is not None:
            return known, []
        artist_id = f"artist-{stable_id(artist)}"
        track_id = f"track-{stable_id(artist, title)}"
        new: list[Track | Artist] = []
        if self.is_new(artist_id):
            new.append(Artist(artist_id=artist_id, name=artist))
        if self.is_new(track_id):
            length = round(row["length"] * 1000) if row.get("length") else None
            new.append(
                Track(track_id=track_id, title=title, artist_id=artist_id, artist_name=artist, duration_ms=length)
            )
        return track_id, new


def _key(artist: str, title: str) -> tuple[str, str]:
    return artist.strip().casefold(), title.strip().casefold()
