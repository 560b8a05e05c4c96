"""The raw catalogue contract: what a dump under ``raw/<entity>/date=YYYY-MM-DD/`` holds, one JSON object a line.

A later dump of the same id replaces an earlier one; ids that appear only in events are kept and flagged downstream.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from lakehouse.events import ContractError, Country, Id, Millis, Text, UtcTime, decode_strictly

Unit = Annotated[float, Meta(ge=0, le=1)]


class Acoustic(Struct, omit_defaults=True):
    """Acoustic attributes in the ranges of the Spotify audio features (0..1, except key, loudness dB, tempo BPM)."""

    danceability: Unit | None = None
    energy: Unit | None = None
    speechiness: Unit | None = None
    acousticness: Unit | None = None
    instrumentalness: Unit | None = None
    liveness: Unit | None = None
    valence: Unit | None = None
    loudness: Annotated[float, Meta(ge=-80, le=10)] | None = None
    tempo: Annotated[float, Meta(ge=0, le=400)] | None = None
    key: Annotated[int, Meta(ge=-1, le=11)] | None = None
    mode: Annotated[int, Meta(ge=0, le=1)] | None = None


class Track(Struct, omit_defaults=True):
    track_id: Id
    title: Text | None = None
    artist_id: Id | None = None
    artist_name: Text | None = None
    album_id: Id | None = None
    genre: Text | None = None
    subgenre: Text | None = None
    duration_ms: Millis | None = None
    release_date: date | None = None
    acoustic: Acoustic = msgspec.field(default_factory=Acoustic)


class Artist(Struct, omit_defaults=True):
    artist_id: Id
    name: Text | None = None
    genre: Text | None = None
    country: Country | None = None


class User(Struct, omit_defaults=True):
    user_id: Id
    signed_up_at: UtcTime | None = None
    birth_year: Annotated[int, Meta(ge=1900, le=2100)] | None = None
    gender: Text | None = None
    country: Country | None = None
    plan: Text | None = None


ENTITIES: dict[str, type[Struct]] = {"tracks": Track, "artists": Artist, "users": User}
ENTITY_KEY = {"tracks": "track_id", "artists": "artist_id", "users": "user_id"}
_FIRST_SIGN_UP, _LAST_SIGN_UP = datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_decoders = {name: msgspec.json.Decoder(cls) for name, cls in ENTITIES.items()}


def decode_entity(entity: str, line: bytes | str) -> Struct:
    """Parse one catalogue line of ``entity`` ("tracks", "artists" or "users"); raises ContractError with the reason."""
    item = decode_strictly(_decoders[entity], line)
    signed_up = getattr(item, "signed_up_at", None)
    if signed_up is not None and not _FIRST_SIGN_UP <= signed_up < _LAST_SIGN_UP:
        raise ContractError(f"time out of range: signed_up_at {signed_up.isoformat()}")
    return item
