"""How long a song of an eventsim log was heard.

A NextSong row tells when a song began, not how it ended. The next NextSong or Logout of the same session tells that:
other pages are looked at while the music goes on. A song waits for it, for at most ``PATIENCE_MS``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from lakehouse.events import Context, Play, make_event
from lakehouse.sources.base import Origin, Record, checked, from_millis, stable_id
from lakehouse.sources.user_agent import device_of

PATIENCE_MS = 24 * 3600 * 1000
SLACK_MS = 1500  # log times are whole seconds
_US_STATES = frozenset(
    [
        "AK",
        "AL",
        "AR",
        "AZ",
        "CA",
        "CO",
        "CT",
        "DC",
        "DE",
        "FL",
        "GA",
        "HI",
        "IA",
        "ID",
        "IL",
        "IN",
        "KS",
        "KY",
        "LA",
        "MA",
        "MD",
        "ME",
        "MI",
        "MN",
        "MO",
        "MS",
        "MT",
        "NC",
        "ND",
        "NE",
        "NH",
        "NJ",
        "NM",
        "NV",
        "NY",
        "OH",
        "OK",
        "OR",
        "PA",
        "RI",
        "SC",
        "SD",
        "TN",
        "TX",
        "UT",
        "VA",
        "VT",
        "WA",
        "WI",
        "WV",
        "WY",
    ]
)


class _Song(NamedTuple):
    row: dict[str, Any]
    user_id: str
    track_id: str
    origin: Origin


class Playing:
    """The song that plays in each session."""

    def __init__(self) -> None:
        self._songs: OrderedDict[tuple[str, str], _Song] = OrderedDict()

    def track(self, row: dict[str, Any], user_id: str) -> str | None:
        song = self._songs.get(_session(row, user_id))
        return song.track_id if song else None

    def next_song(self, row: dict[str, Any], user_id: str, track_id: str, origin: Origin) -> Iterator[Record]:
        """Start a song; yields the one before it, and songs that waited too long."""
        yield from self._ended(_session(row, user_id), int(row["ts"]), "fwdbtn")
        while self._songs:
            key, oldest = next(iter(self._songs.items()))
            if int(row["ts"]) - int(oldest.row["ts"]) <= PATIENCE_MS:
                break
            yield _play(self._songs.pop(key), None, None)
        self._songs[_session(row, user_id)] = _Song(row, user_id, track_id, origin)

    def stop(self, row: dict[str, Any], user_id: str) -> Iterator[Record]:
        """The listener logs out."""
        yield from self._ended(_session(row, user_id), int(row["ts"]), "logout")

    def finish(self) -> Iterator[Record]:
        """Songs whose end the logs do not tell."""
        while self._songs:
            yield _play(self._songs.popitem(last=False)[1], None, None)

    def _ended(self, key: tuple[str, str], at_ms: int, early: str) -> Iterator[Record]:
        song = self._songs.pop(key, None)
        if song is None:
            return
        gap, length = at_ms - int(song.row["ts"]), _length_ms(song.row)
        if gap < 0 or gap > PATIENCE_MS:
            yield _play(song, None, None)
        elif length is not None and gap >= length - SLACK_MS:
            yield _play(song, min(gap, length), "trackdone")
        else:
            yield _play(song, gap, early)


def envelope(row: dict[str, Any], user_id: str) -> dict[str, Any]:
    """The fields every event of the row has; ``make_event`` takes them."""
    at = from_millis(int(row["ts"]))
    session = row.get("sessionId")
    return {
        "event_id": stable_id("eventsim", user_id, session, row.get("itemInSession"), row["ts"], row["page"]),
        "user_id": user_id,
        "session_id": str(session) if session is not None else None,
        "occurred_at": at,
        "received_at": at,
        "device": device_of(row.get("userAgent")),
        "context": context_of(row),
    }


def context_of(row: dict[str, Any]) -> Context:
    """eventsim's locations are metropolitan areas like "Marinette, WI-MI"; US when all the states are."""
    location = row.get("location")
    if not location:
        return Context()
    states = location.rpartition(", ")[2].split("-")
    return Context(country="US" if _US_STATES.issuperset(states) else None, region=location)


def _play(song: _Song, heard_ms: int | None, reason_end: str | None) -> Record:
    play = Play(
        track_id=song.track_id,
        ms_played=heard_ms,
        duration_ms=_length_ms(song.row),
        reason_end=reason_end,
    )
    return checked(make_event("play", payload=play, **envelope(song.row, song.user_id)), song.origin)


def _length_ms(row: dict[str, Any]) -> int | None:
    return round(row["length"] * 1000) if row.get("length") else None


def _session(row: dict[str, Any], user_id: str) -> tuple[str, str]:
    return user_id, str(row.get("sessionId"))
