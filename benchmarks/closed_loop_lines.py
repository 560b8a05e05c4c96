"""Policies in a closed loop: each lives in a line of its own, with the same listeners, sessions and random numbers.

What a line's listeners kept and skipped is known in that line alone, so that each policy learns from what it has itself
caused. No policy shows what the listener skipped or heard last (``Line.left_out``), as the API and the listeners' apps
have it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.vocabulary import tie_order
from simulation.live import Heard, Moment, listen
from simulation.live_http import LATEST_KEPT, LATEST_SKIPS, Listeners
from simulation.world import World


@dataclass
class Engagement:
    """Sums over the sessions of a round. room: plays there was time for; kept: heard without a skip; share: of the
    track heard, summed over the plays; likes: likes and additions to playlists."""

    sessions: int = 0
    lists: int = 0
    room: int = 0
    plays: int = 0
    kept: int = 0
    share: float = 0.0
    likes: int = 0

    def add(self, heard: Heard) -> None:
        self.sessions += 1
        self.lists += len(heard.lists)
        self.room += heard.moment.plays
        self.plays += len(heard.plays.track)
        self.kept += len(heard.kept)
        self.share += heard.share
        self.likes += heard.likes

    def measures(self) -> dict[str, float]:
        """Each over the plays there was time for: what a listener who leaves would have heard counts as not heard."""
        room = max(self.room, 1)
        return {"kept": self.kept / room, "completion": self.share / room, "likes": 100 * self.likes / room}


class Line(ABC):
    """One policy and what its listeners did. A round: ``live`` for each session, then ``learn``."""

    name: str

    def __init__(self, world: World, history: Mapping[int, Sequence[int]]):
        self.world = world
        self.kept: dict[int, list[int]] = {user: list(tracks) for user, tracks in history.items()}
        self.skips: dict[int, list[int]] = {}

    def live(self, moment: Moment, k: int) -> Heard:
        heard = self.listen(moment, k)
        self.kept.setdefault(moment.user, []).extend(heard.kept.tolist())
        self.skips.setdefault(moment.user, []).extend(heard.skipped.tolist())
        return heard

    @abstractmethod
    def listen(self, moment: Moment, k: int) -> Heard:
        """The session with this policy's lists."""

    def elsewhere(self, kept: Mapping[int, Sequence[int]]) -> None:
        """What listeners heard today when they chose by themselves; every line has the same."""
        for user, tracks in kept.items():
            self.kept.setdefault(user, []).extend(tracks)

    def learn(self) -> None:  # noqa: B027  # some have nothing to learn, or somebody else does it
        """From what the listeners did in the round, all at once."""


class PolicyLine(Line):
    """A policy of this process: it lists what is asked for."""

    def listen(self, moment: Moment, k: int) -> Heard:
        kept, skips = self.kept.get(moment.user, ()), self.skips.get(moment.user, ())
        known = [*kept[-LATEST_KEPT:], *skips[-LATEST_SKIPS:]]
        return listen(moment, lambda shown: self.list(moment, {*known, *shown}, len(shown), k))

    @abstractmethod
    def list(self, moment: Moment, left_out: set[int], place: int, k: int) -> list[int]:
        """``k`` tracks, best first, without ``left_out``; ``place``: tracks shown in the session before."""


class RandomLine(PolicyLine):
    name = "random"

    def list(self, moment: Moment, left_out: set[int], place: int, k: int) -> list[int]:
        rng = self.world.rng("live", moment.day, moment.number, 2, place)
        return _first(rng.permutation(len(self.world.tracks)), left_out, k)


class PopularityLine(PolicyLine):
    """Most listeners first who kept it, then most plays (as ``models.recommend.popularity``).

    Equal tracks in an order that says nothing: tracks of a genre lie side by side in the world.
    """

    name = "popularity"

    def __init__(self, world: World, history: Mapping[int, Sequence[int]]):
        super().__init__(world, history)
        self._ties = tie_order([world.tracks.track_id(i) for i in range(len(world.tracks))])
        self.learn()

    def list(self, moment: Moment, left_out: set[int], place: int, k: int) -> list[int]:
        return _first(self._order, left_out, k)

    def learn(self) -> None:
        listeners, plays = np.zeros((2, len(self.world.tracks)))
        for tracks in self.kept.values():
            listeners[np.unique(tracks).astype(int)] += 1
            np.add.at(plays, np.asarray(tracks, int), 1)
        self._order = np.lexsort((self._ties, -plays, -listeners))


class TruthLine(PolicyLine):
    """Least likely to be skipped, by the world's own truth: what no policy can know, and none can be much better."""

    name = "truth"

    def list(self, moment: Moment, left_out: set[int], place: int, k: int) -> list[int]:
        every, one = np.arange(len(self.world.tracks)), moment.sessions
        familiar = self.world.knows(moment.user, every)
        chance = self.world.truth.skip_probability(moment.user, every, one.activity[0], one.wet[0], familiar)
        return _first(np.argsort(chance), left_out, k)


class ApiLine(Line):
    """What a recommendation API shows. The API's own lake is where this line learns."""

    name = "soundlake"

    def __init__(self, world: World, people: Listeners):
        super().__init__(world, {})
        self._people = people

    def listen(self, moment: Moment, k: int) -> Heard:
        return self._people.session(moment)


@dataclass
class Round:
    """Engagement of each line by its name, and who answered: lists by version or cause of a degraded answer."""

    number: int
    lines: dict[str, Engagement] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    degraded: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def live_round(lines: Iterable[Line], moments: Iterable[Moment], k: int) -> dict[str, Engagement]:
    """Every line lives through every moment."""
    found = {line.name: Engagement() for line in lines}
    for moment in moments:
        for line in lines:
            found[line.name].add(line.live(moment, k))
    return found


def _first(order: np.ndarray, left_out: set[int], k: int) -> list[int]:
    picked: list[int] = []
    for track in order.tolist():
        if track not in left_out:
            picked.append(track)
            if len(picked) == k:
                break
    return picked
