"""What the lake knows of listeners, for requests: their history by user id, and names of tracks."""

from __future__ import annotations

from dataclasses import dataclass, field

from lakehouse import arrow
from lakehouse.parse import pseudonymiser
from lakehouse.settings import Settings
from lakehouse.tables.bronze import EVENTS
from lakehouse.tables.gold import SEQUENCES, TRACK_FEATURES
from lakehouse.tables.silver import USERS
from models.context import PROFILE_FIELDS

POPULAR = 50


@dataclass(frozen=True)
class Listener:
    """history: track ids, oldest first, empty for a new listener; profile: what sign-up told, by
    ``models.context.PROFILE_FIELDS``; times: ms since 1970 of each play, None where the source has no true clock."""

    user_key: str
    history: list[str]
    profile: dict[str, object] = field(default_factory=dict)
    times: list[int] | None = None


def find_listener(settings: Settings, user_id: str) -> Listener:
    """The listener by the id of the raw events."""
    key = pseudonymiser(settings.pseudonym_key_bytes())(user_id)
    known = arrow.text("user_key") == key
    plays = arrow.read(settings, SEQUENCES, ["track_ids", "occurred_at", "clock"], known).to_pylist()
    found = arrow.read(settings, USERS, list(PROFILE_FIELDS), known).to_pylist()
    profile = found[0] if found else {}
    if not plays:
        return Listener(key, [], profile)
    row, times = plays[0], None
    if row["clock"] == "event":
        times = [int(at.timestamp() * 1000) for at in row["occurred_at"]]
    return Listener(key, row["track_ids"], profile, times)


def user_ids(settings: Settings) -> dict[str, str]:
    """pseudonym -> user id, of every listener with an event; identifying, so bronze only."""
    pairs = arrow.read(settings, EVENTS, ["user_key", "user_id"]).group_by(["user_key", "user_id"]).aggregate([])
    return dict(zip(pairs["user_key"].to_pylist(), pairs["user_id"].to_pylist(), strict=True))


def track_info(settings: Settings) -> dict[str, dict[str, str | None]]:
    """track_id -> title, artist, artist_id, genre, as far as they are known."""
    columns = ["track_id", "title", "artist_name", "artist_id", "genre"]
    rows = arrow.read(settings, TRACK_FEATURES, columns).rename_columns(
        ["track_id", "title", "artist", "artist_id", "genre"]
    )
    return {row.pop("track_id"): row for row in rows.to_pylist()}


def popular_tracks(settings: Settings, count: int = POPULAR) -> list[str]:
    """Tracks most played in the last seven days of the lake."""
    rows = arrow.read(settings, TRACK_FEATURES, ["track_id", "plays_last_7d"])
    order = rows.sort_by([("plays_last_7d", "descending"), ("track_id", "ascending")]).slice(0, count)
    return [i for i, n in zip(order["track_id"].to_pylist(), order["plays_last_7d"].to_pylist(), strict=True) if n]
