"""Logs of eventsim (the simulated music service behind the "Sparkify" data sets), with song metadata.

Reads every ``*.json(.gz)`` below the path: log rows (they have ``page``) and song rows (``song_id``, from ``song_data``
folders). One row a line. What a page becomes:

NextSong -> play; Thumbs Up -> like; Thumbs Down -> unlike; Add to Playlist -> playlist_add; Logout -> session_end;
Submit Upgrade, Submit Downgrade, Cancellation Confirmation -> subscription_change. The pages Upgrade and Downgrade are
only looked at: the level of the listener changes with the Submit pages. Every other page has no event.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from lakehouse.catalogue import Artist, Track, User
from lakehouse.events import PlaylistAction, SessionMark, SubscriptionChange, TrackAction, make_event
from lakehouse.sources.base import (
    Origin,
    Record,
    SourceError,
    checked,
    from_millis,
    numbered_lines,
    stable_id,
)
from lakehouse.sources.eventsim_plays import Playing, context_of, envelope
from lakehouse.sources.eventsim_songs import Songs

_ACTIONS = {"Thumbs Up": "like", "Thumbs Down": "unlike", "Add to Playlist": "playlist_add"}
_PLANS = {
    "Submit Upgrade": ("free", "paid"),
    "Submit Downgrade": ("paid", "free"),
    "Cancellation Confirmation": (None, "cancelled"),
}
_ROW = msgspec.json.Decoder(dict[str, Any])


class Eventsim:
    """No options. A listener's users row has the last level seen; the track of a log row is looked up in the songs by
    artist and title, else it gets an id derived from both."""

    name = "eventsim"
    description = "eventsim / Sparkify JSON logs and song_data, a folder or one file"

    def read(self, path: Path) -> Iterator[Record]:
        songs, playing, users = Songs(), Playing(), {}
        for file, shown in _files(path):
            for origin in numbered_lines(file, shown):
                yield from _row(origin, songs, playing, users)
        yield from playing.finish()
        yield from users.values()


def _files(path: Path) -> list[tuple[Path, str]]:
    """Files and the names to show, song metadata first."""
    if path.is_file():
        return [(path, path.name)]
    found = [file for pattern in ("*.json", "*.json.gz", "*.jsonl", "*.jsonl.gz") for file in path.rglob(pattern)]
    if not found:
        raise SourceError(f"{path}: no *.json file is below this folder")
    shown = [(file, file.relative_to(path).as_posix()) for file in found if file.is_file()]
    return sorted(shown, key=lambda item: ("song_data" not in item[0].parts, item[1]))


def _row(origin: Origin, songs: Songs, playing: Playing, users: dict[str, User]) -> Iterator[Record]:
    try:
        row = _ROW.decode(origin.text)
    except msgspec.MsgspecError:
        yield origin.rejected("line is no JSON object")
        return
    try:
        if "song_id" in row and "page" not in row:
            yield from _song(row, songs, origin)
        elif "page" in row:
            yield from _page(row, songs, playing, users, origin)
        else:
            yield origin.rejected("row has neither a page nor a song_id")
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        yield origin.rejected(f"row with a value of the wrong kind: {type(error).__name__}")


def _song(row: dict[str, Any], songs: Songs, origin: Origin) -> Iterator[Record]:
    year = int(row.get("year") or 0)
    artist = row.get("artist_id") or None
    track = Track(
        track_id=row["song_id"],
        title=row.get("title"),
        artist_id=artist,
        artist_name=row.get("artist_name"),
        duration_ms=round(row["duration"] * 1000) if row.get("duration") else None,
        release_date=date(year, 1, 1) if year else None,  # only the year is known
    )
    yield checked(track, origin)
    songs.add(track)
    if artist and songs.is_new(artist):
        yield checked(Artist(artist_id=artist, name=row.get("artist_name")), origin)


def _page(
    row: dict[str, Any], songs: Songs, playing: Playing, users: dict[str, User], origin: Origin
) -> Iterator[Record]:
    page, user_id = row["page"], str(row.get("userId") or "")
    if not user_id:
        yield origin.rejected("nobody is logged in")
        return
    user = checked(_user(row, user_id), origin)
    if isinstance(user, User):
        users[user_id] = user
    if page == "NextSong":
        if not row.get("song") or not row.get("artist"):
            yield origin.rejected("NextSong without a song or an artist")
            return
        track, new = songs.of_play(row)
        yield from (checked(entity, origin) for entity in new)
        yield from playing.next_song(row, user_id, track, origin)
    elif page == "Logout":
        yield from playing.stop(row, user_id)
        yield checked(make_event("session_end", payload=SessionMark(), **envelope(row, user_id)), origin)
    elif page in _ACTIONS:
        yield _action(row, user_id, playing.track(row, user_id), origin)
    elif page in _PLANS:
        old, new_plan = _PLANS[page]
        change = SubscriptionChange(from_plan=old or row.get("level") or "unknown", to_plan=new_plan)
        yield checked(make_event("subscription_change", payload=change, **envelope(row, user_id)), origin)
    elif page == "Roll Advert":
        yield origin.rejected("page 'Roll Advert' tells no propensity, so it is no ad_impression")
    else:
        yield origin.rejected(f"page {page!r} has no event in the contract")


def _action(row: dict[str, Any], user_id: str, track_id: str | None, origin: Origin) -> Record:
    """The row names no song: it is about the one that is playing. eventsim knows one playlist a listener."""
    kind = _ACTIONS[row["page"]]
    if track_id is None:
        return origin.rejected(f"page {row['page']!r} while no song plays in the session")
    payload = TrackAction(track_id)
    if kind == "playlist_add":
        payload = PlaylistAction(track_id, playlist_id=f"playlist-{stable_id('eventsim', user_id)}")
    return checked(make_event(kind, payload=payload, **envelope(row, user_id)), origin)


def _user(row: dict[str, Any], user_id: str) -> User:
    registration = row.get("registration")
    return User(
        user_id=user_id,
        signed_up_at=from_millis(int(registration)) if registration else None,
        gender=row["gender"].lower() if row.get("gender") else None,
        country=context_of(row).country,
        plan=row.get("level"),
    )
