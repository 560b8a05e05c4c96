"""What a stream remembers of one listener: plays and ads by event id, so that an event counts once however it comes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from lakehouse.refine.sessions import GAP_SECONDS
from lakehouse.stream.totals_rows import AD_KINDS, AD_SECONDS, RECENT_PLAYS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
GAP_US = GAP_SECONDS * SECOND
SESSION_US = 24 * 3600 * SECOND
"""Plays are remembered this long: the longest session in progress that is told whole."""


class Play(NamedTuple):
    """A version of a play; times in microseconds since 1970. ``ms_played`` None: unknown."""

    received: int
    at: int
    track_id: str
    ms_played: int | None
    skipped: bool

    @property
    def rank(self) -> tuple:
        """Of two versions the larger counts, whichever came first."""
        return (self.received, self.at, self.track_id, -1 if self.ms_played is None else self.ms_played, self.skipped)


class Session(NamedTuple):
    started: int
    heard_until: int
    plays: int
    skips: int
    tracks: int
    ms_played: int


@dataclass(slots=True)
class Listener:
    """``skips``: play event id -> smallest position, of skips whose play may be here or still to come."""

    plays: dict[str, Play] = field(default_factory=dict)
    skips: dict[str, int | None] = field(default_factory=dict)
    ads: dict[str, tuple[int, str]] = field(default_factory=dict)
    seeded: bool = False

    # ------------------------------------------------------------------ events in
    def add_play(self, event_id: str, play: Play) -> None:
        known = self.plays.get(event_id)
        if known is None or play.rank > known.rank:
            self.plays[event_id] = play

    def add_skip(self, play_event_id: str, position: int | None) -> None:
        known = self.skips.get(play_event_id)
        positions = [p for p in (known, position) if p is not None]
        self.skips[play_event_id] = min(positions) if positions else None

    def add_ad(self, event_id: str, at: int, kind: str) -> None:
        self.ads[event_id] = (at, kind)

    def forget(self, clock: int) -> None:
        """Let go of what no row can tell any more at ``clock``."""
        self.ads = {i: ad for i, ad in self.ads.items() if ad[0] > clock - AD_SECONDS * SECOND}
        if len(self.plays) > RECENT_PLAYS:
            kept = {i for i, _ in self._newest_first()[:RECENT_PLAYS]}
            old = [i for i, play in self.plays.items() if i not in kept and play.at <= clock - SESSION_US]
            for event_id in old:
                del self.plays[event_id]
                self.skips.pop(event_id, None)

    # ------------------------------------------------------------------ totals out
    def _newest_first(self) -> list[tuple[str, Play]]:
        return sorted(self.plays.items(), key=lambda item: (item[1].at, item[0]), reverse=True)

    def heard(self, event_id: str, play: Play) -> int | None:
        """Milliseconds heard, by the play or else by its skip."""
        return play.ms_played if play.ms_played is not None else self.skips.get(event_id)

    def session(self) -> Session | None:
        """The latest session, by the rule of ``refine.sessions``; None without a play."""
        current: list[tuple[str, Play]] = []
        heard_until = 0
        for event_id, play in reversed(self._newest_first()):
            if current and play.at - heard_until > GAP_US:
                current, heard_until = [], 0
            current.append((event_id, play))
            heard_until = max(heard_until, play.at + (self.heard(event_id, play) or 0) * 1000)
        if not current:
            return None
        return Session(
            started=current[0][1].at,
            heard_until=heard_until,
            plays=len(current),
            skips=sum(play.skipped or event_id in self.skips for event_id, play in current),
            tracks=len({play.track_id for _, play in current}),
            ms_played=sum(self.heard(event_id, play) or 0 for event_id, play in current),
        )

    def needed_until(self, session: Session | None) -> int:
        """When what is remembered can be let go: the session has ended by then, and no ad is younger than an hour."""
        ads = [at + AD_SECONDS * SECOND for at, _ in self.ads.values()]
        return max(ads + [session.heard_until + GAP_US if session else 0])

    def recent_row(self) -> dict[str, Any]:
        newest = self._newest_first()[:RECENT_PLAYS]
        empty = RECENT_PLAYS - len(newest)
        heard = [self.heard(event_id, play) for event_id, play in newest]
        return {
            "event_ids": [event_id for event_id, _ in newest],
            "track_ids": [play.track_id for _, play in newest],
            "played_at": [play.at // SECOND for _, play in newest] + [0] * empty,
            "ms_played": [-1 if ms is None else ms for ms in heard] + [-1] * empty,
        }

    def ads_row(self, clock: int) -> dict[str, Any]:
        inside = [(at, kind) for at, kind in self.ads.values() if clock - AD_SECONDS * SECOND < at <= clock]
        row: dict[str, Any] = {f"{name}_1h": 0 for name in AD_KINDS.values()}
        for _, kind in inside:
            row[f"{AD_KINDS[kind]}_1h"] += 1
        return {**row, "last_ad_at": moment(max(at for at, _ in inside)) if inside else None}


def session_row(session: Session | None) -> dict[str, Any]:
    """``session`` is None between sessions."""
    if session is None:
        numbers = dict.fromkeys(("in_progress", "plays", "skips", "distinct_tracks", "ms_played"), 0)
        return {**numbers, "started_at": None, "heard_until": None}
    return {
        "in_progress": 1,
        "plays": session.plays,
        "skips": session.skips,
        "distinct_tracks": session.tracks,
        "ms_played": session.ms_played,
        "started_at": moment(session.started),
        "heard_until": moment(session.heard_until),
    }


def moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
