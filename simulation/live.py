"""Simulated listeners who hear what they are shown: sessions of the world in which somebody else chooses the tracks.

Who listens when, doing what and for how long is drawn by ``sessions``, whether a track is heard or skipped, when the
listener has had enough and what they like by ``plays`` and ``day``: the laws of the world, in which ``choice`` is
replaced by lists that are asked for. A session depends on the world, its day and its number alone, and on the tracks it
is shown: the n-th track of a session meets the same random numbers whoever has chosen it, so that what two policies are
worth can be compared session by session (common random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np

from lakehouse.events import Envelope
from simulation.day import actions, deliver, play_rows, with_session
from simulation.encode import encode_rows
from simulation.log import KIND, number_rows
from simulation.plays import Plays, play_sessions
from simulation.rhythm import ACTIVITIES, DEVICES, NETWORKS, PLACES, WEATHERS
from simulation.sessions import Sessions, draw_sessions
from simulation.world import World

PREFIX = "live"
"""Ids of the events begin so: the same days can be simulated without anybody to ask, too."""
EVENTS_A_SESSION = 1000  # numbers kept for one session; it has at most 60 plays
_OFFLINE = NETWORKS.index("offline")

Ask = Callable[[Sequence[int]], Sequence[int]]
"""Tracks shown in the session so far -> the next list, best first; an empty one ends the session."""


@dataclass(frozen=True)
class Moment:
    """One session: who, when, doing what; ``number`` is its place among those of the day."""

    world: World
    day: int
    number: int
    sessions: Sessions  # of one row

    @property
    def user(self) -> int:
        return int(self.sessions.user[0])

    @property
    def user_id(self) -> str:
        return self.world.users.user_id(self.user)

    @property
    def plays(self) -> int:
        """Tracks that the listener has time for."""
        return int(self.sessions.plays[0])

    @cached_property
    def context(self) -> dict[str, str | int | float]:
        """What an app knows of the moment, in the words of the recommendation API."""
        one, place = self.sessions, PLACES[self.world.users.place[self.user]]
        at = datetime.fromtimestamp(int(one.start_ms[0]) / 1000, UTC)
        local = at + timedelta(minutes=place[2])
        known: dict[str, str | int | float] = {
            "hour": local.hour,
            "weekday": local.isoweekday(),
            "month": at.month,
            "device": DEVICES[one.device[0]],
            "activity": ACTIVITIES[one.activity[0]],
            "network": NETWORKS[one.network[0]],
            "country": place[0],
        }
        if one.weather[0] >= 0:
            known |= {"weather": WEATHERS[one.weather[0]], "temperature": round(float(one.temperature[0]), 1)}
        return known


def moments(world: World, day: int, listeners: int | None = None, longest: int | None = None) -> Iterator[Moment]:
    """Sessions of a day, by time, of the first ``listeners`` of the world (None: all), of at most ``longest`` plays.

    Nobody is offline: they could not ask.
    """
    drawn = draw_sessions(world.rng("live", day), world.users, world.seed, day)
    network = np.where(drawn.network == _OFFLINE, NETWORKS.index("cellular"), drawn.network)
    plays = drawn.plays if longest is None else np.minimum(drawn.plays, longest)
    drawn = replace(drawn, network=network, plays=plays)
    for number in range(len(drawn)):
        if listeners is None or drawn.user[number] < listeners:
            row = {name: values[number : number + 1] for name, values in vars(drawn).items()}
            yield Moment(world, day, number, Sessions(**row))


@dataclass(frozen=True)
class Heard:
    """What became of a session. lists: as shown; rows: what happened (``log.ROW``)."""

    moment: Moment
    lists: list[list[int]]
    plays: Plays
    rows: np.ndarray = field(repr=False)

    @property
    def kept(self) -> np.ndarray:
        """Tracks that were not skipped, in the order heard."""
        return self.plays.track[~self.plays.skipped]

    @property
    def skipped(self) -> np.ndarray:
        return self.plays.track[self.plays.skipped]

    @property
    def share(self) -> float:
        """Sum over the plays of the share of the track that was heard."""
        return float((self.plays.ms_played / self.moment.world.tracks.duration_ms[self.plays.track]).sum())

    @property
    def likes(self) -> int:
        """Likes and additions to playlists."""
        return int(np.isin(self.rows["kind"], (KIND["like"], KIND["playlist_add"])).sum())

    def events(self) -> list[Envelope]:
        """As the listener's app reports them."""
        return list(encode_rows(self.moment.world, self.rows, PREFIX))


class _Shown:
    """Plays list after list; asks for the next one when the last track of a list has been heard."""

    def __init__(self, moment: Moment, ask: Ask):
        self._moment, self._ask = moment, ask
        self._left: list[int] = []
        self.lists: list[list[int]] = []

    def prepare(self, sessions: Sessions) -> np.ndarray:
        return np.zeros((len(sessions), 0))

    def choose(self, rng, sessions, at, genres, previous) -> tuple[np.ndarray, np.ndarray]:
        if not self._left:
            self._left = list(self._ask([track for shown in self.lists for track in shown]))
            if self._left:
                self.lists.append(list(self._left))
        track = self._left.pop(0) if self._left else -1
        return np.array([track]), np.atleast_1d(self._moment.world.knows(self._moment.user, track))


def listen(moment: Moment, ask: Ask) -> Heard:
    """Live through a session whose tracks ``ask`` chooses."""
    world, sessions = moment.world, moment.sessions
    shown = _Shown(moment, ask)
    rng = world.rng("live", moment.day, moment.number)
    plays = play_sessions(rng, sessions, shown, world.tracks, world.truth)
    return Heard(moment, shown.lists, plays, _rows(moment, plays))


def _rows(moment: Moment, plays: Plays) -> np.ndarray:
    world, sessions = moment.world, moment.sessions
    rng = world.rng("live", moment.day, moment.number, 1)
    first = np.zeros(1, np.int64)
    end = np.maximum(sessions.start_ms, (plays.start_ms + plays.ms_played).max(initial=0))
    parts = [
        with_session(sessions, "session_start", first, sessions.start_ms - 40),
        with_session(sessions, "session_end", first, end + 60),
        *play_rows(sessions, plays),
        *actions(rng, world, sessions, plays),
    ]
    table = number_rows(np.concatenate(parts), moment.day)
    deliver(rng, table, end)
    table["session"] = moment.number
    table["number"] += moment.number * EVENTS_A_SESSION
    table["ref"][table["ref"] >= 0] += moment.number * EVENTS_A_SESSION
    return table
