"""The Last.fm-1K data set (Celma, 2010): plays to the second with artist and track names, and a user profile.

Files: ``userid-timestamp-artid-artname-traid-traname.tsv(.gz)`` and ``userid-profile.tsv(.gz)``, tab separated, no
quotes. A track or artist without a MusicBrainz id gets one derived from its names. How long a play was heard is
unknown. http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from lakehouse.catalogue import Artist, Track, User
from lakehouse.events import Play, make_event
from lakehouse.sources.base import Origin, Record, SourceError, checked, find_file, numbered_lines, stable_id
from lakehouse.sources.countries import country_code

PLAY_COLUMNS = 6
PROFILE_COLUMNS = 5
PROFILE_YEAR = 2009  # the profiles were collected in May 2009


class Lastfm1k:
    """Option ``profile_year``: when the ages of the profile were true; a birth year is this less the age, give or take
    one."""

    name = "lastfm1k"
    description = "Last.fm-1K: userid-timestamp-artid-artname-traid-traname.tsv(.gz), with userid-profile.tsv beside it"

    def read(self, path: Path, *, profile_year: int = PROFILE_YEAR) -> Iterator[Record]:
        plays, profile = _find(path)
        if not str(profile_year).isdigit():
            raise SourceError(f"option profile_year={profile_year!r} is no year: write it as {PROFILE_YEAR}")
        if profile is not None:
            for origin in numbered_lines(profile):
                if not origin.text.startswith("#"):
                    yield _user(origin, int(profile_year))
        seen: set[str] = set()
        for origin in numbered_lines(plays):
            yield from _play(origin, seen)


def _find(path: Path) -> tuple[Path, Path | None]:
    plays = path
    if path.is_dir():
        found = find_file(path, "*timestamp*traname*.tsv", "*timestamp*traname*.tsv.gz")
        if found is None:
            raise SourceError(
                f"{path}: no file like userid-timestamp-artid-artname-traid-traname.tsv is in this folder; "
                "unpack lastfm-dataset-1K.tar.gz and give the folder it makes"
            )
        plays = found
    return plays, find_file(plays.parent, "*profile*.tsv", "*profile*.tsv.gz")


def _user(origin: Origin, profile_year: int) -> Record:
    fields = origin.text.split("\t")
    if len(fields) != PROFILE_COLUMNS:
        return origin.rejected(f"profile row has not {PROFILE_COLUMNS} columns")
    user_id, gender, age, country, registered = (field.strip() for field in fields)
    try:
        signed_up = datetime.strptime(registered, "%b %d, %Y").replace(tzinfo=UTC) if registered else None
        birth_year = profile_year - int(age) if age else None
    except ValueError:
        return origin.rejected("profile row whose age is no number or whose date is not like 'Aug 13, 2006'")
    user = User(
        user_id=user_id,
        signed_up_at=signed_up,
        birth_year=birth_year,
        gender=gender or None,
        country=country_code(country) if country else None,
    )
    return checked(user, origin)


def _play(origin: Origin, seen: set[str]) -> Iterator[Record]:
    """The play, and before it the artist and track when they are new."""
    fields = origin.text.split("\t")
    if len(fields) != PLAY_COLUMNS:
        yield origin.rejected(f"play row has not {PLAY_COLUMNS} columns")
        return
    user_id, timestamp, artist_mbid, artist_name, track_mbid, title = fields
    if not track_mbid and not title.strip():
        yield origin.rejected("play row with neither a track id nor a track name")
        return
    at = _utc(timestamp)
    if at is None:
        yield origin.rejected("timestamp is not like 2009-05-04T23:08:57Z")
        return
    artist_id = artist_mbid or (f"artist-{stable_id(artist_name)}" if artist_name.strip() else None)
    track_id = track_mbid or f"track-{stable_id(artist_name, title)}"
    play = checked(
        make_event(
            "play",
            event_id=stable_id("lastfm1k", user_id, timestamp, track_id),
            user_id=user_id,
            occurred_at=at,
            received_at=at,
            payload=Play(track_id=track_id),
        ),
        origin,
    )
    if artist_id and artist_id not in seen:
        seen.add(artist_id)
        yield checked(Artist(artist_id=artist_id, name=artist_name or None), origin)
    if track_id not in seen:
        seen.add(track_id)
        track = Track(track_id=track_id, title=title or None, artist_id=artist_id, artist_name=artist_name or None)
        yield checked(track, origin)
    yield play


def _utc(timestamp: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None
