"""One simulated day: sessions are played, and everything that happened becomes rows with send and arrival times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulation.choice import TrackChooser
from simulation.log import DAY_MS, number_rows, rows
from simulation.plays import Plays, play_sessions
from simulation.rhythm import NETWORKS
from simulation.sessions import Sessions, draw_sessions
from simulation.truth import USUAL_AFFINITY

if TYPE_CHECKING:
    from simulation.world import World

DUPLICATE_CHANCE = 0.003
SEARCH_CHANCE = 0.12
MAX_LATE_MS = 2 * DAY_MS
LOOKBACK_DAYS = 3  # nothing arrives later than this many days after the day it began on
_OFFLINE = NETWORKS.index("offline")


def simulate_day(world: World, day: int) -> np.ndarray:
    """Rows (see ``log.ROW``) of everything that began on UTC day ``day``, sorted by arrival, duplicates included.

    Depends on the world and the day alone: days can be simulated in any order, and again.
    """
    rng = world.rng("day", day)
    sessions = draw_sessions(rng, world.users, world.seed, day)
    chooser = TrackChooser(world.users, world.tracks, world.truth, world.rotation(day // 7), day)
    plays = play_sessions(rng, sessions, chooser, world.tracks, world.truth)
    ends = plays.start_ms + plays.ms_played
    session_end = sessions.start_ms.copy()
    np.maximum.at(session_end, plays.session, ends)
    parts = [
        with_session(sessions, "session_start", np.arange(len(sessions)), sessions.start_ms - 40),
        with_session(sessions, "session_end", np.arange(len(sessions)), session_end + 60),
        _searches(rng, sessions, plays),
        *play_rows(sessions, plays),
        *actions(rng, world, sessions, plays),
        _plan_changes(rng, world, day),
    ]
    table = number_rows(np.concatenate(parts), day)
    deliver(rng, table, session_end)
    twice = table[rng.random(len(table)) < DUPLICATE_CHANCE].copy()
    twice["received"] += 1000 + rng.exponential(60_000, len(twice)).clip(0, 600_000).astype(np.int64)
    table = np.concatenate([table, twice])
    return table[np.lexsort((table["number"], table["received"]))]


def with_session(sessions: Sessions, kind: str, at: np.ndarray, occurred: np.ndarray, **columns) -> np.ndarray:
    """Rows of one kind that happened in the sessions ``at``."""
    return rows(
        kind,
        len(at),
        occurred=occurred,
        user=sessions.user[at],
        session=at,
        activity=sessions.activity[at],
        device=sessions.device[at],
        os=sessions.os[at],
        network=sessions.network[at],
        weather=sessions.weather[at],
        temperature=sessions.temperature[at],
        **columns,
    )


def play_rows(sessions: Sessions, plays: Plays) -> list[np.ndarray]:
    """-> [plays, skips]; a skip refers to its play by ``number``."""
    played = with_session(
        sessions,
        "play",
        plays.session,
        plays.start_ms,
        number=np.arange(len(plays.track)),
        track=plays.track,
        ms_played=plays.ms_played,
        reason_start=plays.reason_start,
        reason_end=plays.reason_end,
    )
    cut = np.flatnonzero(plays.skipped)
    at_ms = plays.ms_played[cut]
    skipped = with_session(
        sessions,
        "skip",
        plays.session[cut],
        plays.start_ms[cut] + at_ms,
        ref=cut,
        track=plays.track[cut],
        value=at_ms,
    )
    return [played, skipped]


def actions(rng: np.random.Generator, world: World, sessions: Sessions, plays: Plays) -> list[np.ndarray]:
    """Likes and playlist additions follow the match; a track that is skipped may lose its like."""
    user = sessions.user[plays.session]
    eager = np.clip(world.users.like_rate[user] * np.exp(0.9 * (plays.affinity - USUAL_AFFINITY)), 0, 0.3)
    draw = rng.random(len(user))
    moment = plays.start_ms + (plays.ms_played * rng.uniform(0.2, 0.95, len(user))).astype(np.int64)
    chances = {
        "like": ~plays.skipped & (draw < eager),
        "playlist_add": ~plays.skipped & (draw >= eager) & (draw < eager * 1.6),
        "unlike": plays.skipped & (draw < 0.1 * world.users.like_rate[user]),
    }
    playlist = rng.integers(1, 6, len(user))
    made = []
    for kind, happens in chances.items():
        at = np.flatnonzero(happens)
        value = playlist[at] if kind == "playlist_add" else -1
        made.append(with_session(sessions, kind, plays.session[at], moment[at], track=plays.track[at], value=value))
    return made


def _searches(rng: np.random.Generator, sessions: Sessions, plays: Plays) -> np.ndarray:
    """Some sessions begin with a search for the artist that is played first."""
    first = np.unique(plays.session, return_index=True)[1]
    first = first[rng.random(len(first)) < SEARCH_CHANCE]
    found = rng.integers(1, 40, len(first))
    return with_session(
        sessions, "search", plays.session[first], plays.start_ms[first] - 20, track=plays.track[first], value=found
    )


def _plan_changes(rng: np.random.Generator, world: World, day: int) -> np.ndarray:
    who = np.flatnonzero((world.users.plan_day == day) & (world.users.join_day < day))
    occurred = world.midnight_ms(day) + rng.integers(0, DAY_MS, len(who))
    return rows("subscription_change", len(who), occurred=occurred, user=who, temperature=np.nan)


def deliver(rng: np.random.Generator, table: np.ndarray, session_end: np.ndarray) -> None:
    """Set ``received``: at once, or for offline listening hours to two days later, all of a session together."""
    heard = np.maximum(table["ms_played"], 0)  # a play is reported when it ends
    network_ms = rng.lognormal(4.8, 0.7, len(table)).clip(20, 20_000).astype(np.int64)
    table["received"] = table["occurred"] + heard + network_ms
    wait = 1_800_000 + rng.exponential(8 * 3_600_000, len(session_end)).astype(np.int64)
    sync = session_end + np.minimum(wait, MAX_LATE_MS - 2 * 3_600_000)
    late = np.flatnonzero(table["network"] == _OFFLINE)
    table["received"][late] = sync[table["session"][late]] + network_ms[late] // 10
