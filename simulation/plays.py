"""Playing the sessions of a day: track after track, heard to the end or skipped, liked, kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from simulation.log import REASONS_END, REASONS_START
from simulation.rhythm import DEVICES
from simulation.sessions import Sessions
from simulation.tracks import Tracks
from simulation.truth import Truth

PAUSE_CHANCE = 0.015
_START = {name: code for code, name in enumerate(REASONS_START)}
_END = {name: code for code, name in enumerate(REASONS_END)}


class Chooser(Protocol):
    """Says what is played next: the listener (``TrackChooser``), or whoever recommends."""

    def prepare(self, sessions: Sessions) -> np.ndarray:
        """What ``choose`` gets as ``genres``, a row a session."""
        ...

    def choose(
        self, rng: np.random.Generator, sessions: Sessions, at: np.ndarray, genres: np.ndarray, previous: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """-> (track of each of the sessions ``at``, whether it was known); -1 ends a session."""
        ...


@dataclass(frozen=True)
class Plays:
    """Columns of P plays: ``session`` is the row in Sessions, times are epoch ms."""

    session: np.ndarray
    track: np.ndarray
    start_ms: np.ndarray
    ms_played: np.ndarray
    skipped: np.ndarray
    reason_start: np.ndarray
    reason_end: np.ndarray
    affinity: np.ndarray


def play_sessions(
    rng: np.random.Generator, sessions: Sessions, chooser: Chooser, tracks: Tracks, truth: Truth
) -> Plays:
    """Play every session to its end; all sessions advance together, one track a step."""
    count = len(sessions)
    genres = chooser.prepare(sessions)
    previous = np.full(count, -1)
    clock = sessions.start_ms.copy()
    skips_in_a_row = np.zeros(count, np.int64)
    steps: list[tuple[np.ndarray, ...]] = []
    alive = np.arange(count)
    for step in range(int(sessions.plays.max(initial=0))):
        alive = alive[sessions.plays[alive] > step]
        fed_up = (skips_in_a_row[alive] >= 3) & (rng.random(len(alive)) < 0.25)
        alive = alive[~fed_up]
        if not len(alive):
            break
        track, known = chooser.choose(rng, sessions, alive, genres, previous[alive])
        there = track >= 0
        alive, track, known = alive[there], track[there], known[there]
        user, activity = sessions.user[alive], sessions.activity[alive]
        chance = truth.skip_probability(user, track, activity, sessions.wet[alive], known)
        skipped = rng.random(len(alive)) < chance
        heard, reason_end = _heard(rng, tracks.duration_ms[track], skipped, sessions, alive, step)
        reason_start = _reason_start(rng, sessions.device[alive], step, skips_in_a_row[alive] > 0)
        affinity = truth.affinity(user, track)
        steps.append((alive, track, clock[alive], heard, skipped, reason_start, reason_end, affinity))
        clock[alive] += heard + _gaps(rng, len(alive))
        previous[alive] = track
        skips_in_a_row[alive] = np.where(skipped, skips_in_a_row[alive] + 1, 0)
    if not steps:
        empty = np.zeros(0, np.int64)
        return Plays(empty, empty, empty, empty, empty.astype(bool), empty, empty, empty.astype(float))
    return Plays(*(np.concatenate(column) for column in zip(*steps, strict=True)))


def _heard(
    rng: np.random.Generator,
    duration: np.ndarray,
    skipped: np.ndarray,
    sessions: Sessions,
    at: np.ndarray,
    step: int,
) -> tuple[np.ndarray, np.ndarray]:
    """-> (ms heard, reason_end): skips come early in a track, and a third of sessions end in the middle of one."""
    stopped = ~skipped & (sessions.plays[at] == step + 1) & (rng.random(len(at)) < 0.35)
    share = np.where(skipped, rng.beta(0.9, 4.0, len(at)), np.where(stopped, rng.random(len(at)), 1.0))
    heard = np.clip((duration * share).astype(np.int64), 500, duration)
    logout = stopped & np.isin(sessions.device[at], (DEVICES.index("web"), DEVICES.index("desktop")))
    ended = np.where(skipped, _END["fwdbtn"], np.where(stopped, _END["endplay"], _END["trackdone"]))
    return heard, np.where(logout, _END["logout"], ended)


def _reason_start(rng: np.random.Generator, device: np.ndarray, step: int, after_skip: np.ndarray) -> np.ndarray:
    draw = rng.random(len(device))
    if step == 0:
        first = np.where(draw < 0.5, _START["clickrow"], np.where(draw < 0.8, _START["playbtn"], _START["appload"]))
        return np.where(device == DEVICES.index("speaker"), _START["remote"], first)
    return np.where(after_skip, _START["fwdbtn"], np.where(draw < 0.07, _START["clickrow"], _START["trackdone"]))


def _gaps(rng: np.random.Generator, count: int) -> np.ndarray:
    """Silence between two plays, ms: under a second as a rule, sometimes a pause of minutes."""
    pause = rng.random(count) < PAUSE_CHANCE
    return np.where(pause, rng.exponential(180_000, count).clip(20_000, 900_000), rng.exponential(400, count)).astype(
        np.int64
    )
