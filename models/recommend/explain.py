"""Why a track was recommended, for machines: reasons with contributions that sum to the score.

Contributions come from the model (Shapley values of trees, integrated gradients or exact linear shares of a network),
never from a guess afterwards. :mod:`models.recommend.sentences` says the most telling reason in words,
:mod:`models.recommend.fidelity` tests that taking it away lowers the score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

PLAY, CONTEXT, BASE, OTHER = "play", "context", "base", "other"
NAMEABLE = 0.1
"""Share of all that raised a score from which on a play or a field is named, whatever else raised it more."""
ATTRIBUTES = ("artist", "album", "genre")
_KEYS = {name: f"{name}_id" for name in ATTRIBUTES}
TrackInfo = Mapping[str, Mapping[str, Any]]
"""Track id -> {"title", "artist", "artist_id", "album", "album_id", "genre"}; every part may be missing."""


class Reason(NamedTuple):
    """One reason's part of a score.

    kind: "play", "context" or what else it speaks of (``models.recommend.two_stage.features.GROUPS``); key: the id of
    the played track, the field of the context, or the kind again; ways: of a play, what it speaks of -> its part;
    times: how often the track was played; same: what it has in common with the recommended track ("track", "artist",
    "album", "genre").
    """

    kind: str
    key: str
    contribution: float
    ways: Mapping[str, float] = MappingProxyType({})
    times: int = 0
    same: tuple[str, ...] = ()

    @property
    def way(self) -> str:
        """What a play speaks of most; the kind for all else."""
        return max(self.ways, key=lambda way: self.ways[way], default=self.kind)


class Cause(NamedTuple):
    """What can be named: of kind ``play``, ``plays_of_artist`` or ``plays_of_album`` the plays of the tracks ``keys``,
    of kind ``context`` the field, of every other kind a group (which cannot be taken away)."""

    kind: str
    keys: tuple[str, ...]
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """The score of ``track_id`` = base + the reasons' contributions, largest first. base: what the model gives before
    it knows anything of the listener and the track."""

    track_id: str
    score: float
    base: float
    reasons: tuple[Reason, ...]

    @classmethod
    def of(
        cls,
        track_id: str,
        history: Sequence[str],
        plays: np.ndarray,
        rest: np.ndarray,
        groups: Sequence[str],
        info: TrackInfo | None = None,
        least: float = 0.0,
    ) -> Explanation:
        """From the parts of the plays (float [L, P], beside ``history``, by the first P groups) and what no play is
        named for (float [G]).

        Plays of one track count together; the score is the sum. ``least``: plays that give (or take) less than this
        share of what all plays do are told as one, as what else there is. Raises ValueError where lengths differ or a
        part is not finite.
        """
        plays, rest = np.asarray(plays)[None], np.asarray(rest)[None]
        return explanations([track_id], history, plays, rest, groups, info, least=least)[0]

    @classmethod
    def linear(
        cls, track_id: str, history: Sequence[str], contributions: np.ndarray, info: TrackInfo | None = None
    ) -> Explanation:
        """From float [L + 1], the share of each play and of all else: what the signature ``explain`` of every model
        gives."""
        contributions = np.asarray(contributions, np.float64)
        return cls.of(track_id, history, contributions[:-1, None], contributions[-1:], (OTHER,), info)

    def of_kind(self, kind: str) -> tuple[Reason, ...]:
        return tuple(reason for reason in self.reasons if reason.kind == kind)

    def share(self, contribution: float) -> float:
        """Of all that raised the score, 0 to 1."""
        raised = sum(reason.contribution for reason in self.reasons if reason.contribution > 0)
        return contribution / raised if raised > 0 else 0.0

    def cause(self, kinds: Collection[str] | None = None) -> Cause | None:
        """The reason to name, None where nothing (of the ``kinds``, if given) raised the score.

        That is the largest play or field of the context, if it makes at least ``NAMEABLE`` of what raised the score,
        and the largest reason otherwise. Where several played tracks of the candidate's artist (or album) raised it and
        none of them by more than half of their sum, they are one cause: "you listen to the artist" is truer then than
        any single play.
        """
        raised = [Cause(r.kind, (r.key,), r.contribution) for r in self.reasons if r.contribution > 0]
        least = NAMEABLE * sum(cause.contribution for cause in raised)
        together = (self._together(attribute) for attribute in ("artist", "album"))
        raised += [cause for cause in together if cause is not None]
        if kinds is not None:
            return max((c for c in raised if c.kind in kinds), key=lambda cause: cause.contribution, default=None)
        named = [c for c in raised if c.contribution >= least and removable(c)]
        return max(named or raised, key=lambda cause: cause.contribution, default=None)

    def _together(self, attribute: str) -> Cause | None:
        plays = [r for r in self.reasons if attribute in r.same and r.contribution > 0]
        total = sum(reason.contribution for reason in plays)
        if len(plays) < 2 or max(reason.contribution for reason in plays) > total / 2:
            return None
        return Cause(f"plays_of_{attribute}", tuple(reason.key for reason in plays), total)

    def record(self) -> dict[str, Any]:
        """As JSON carries it."""
        reasons = [
            {"kind": r.kind, "key": r.key, "contribution": r.contribution}
            | ({"ways": dict(r.ways), "times": r.times, "same": list(r.same)} if r.kind == PLAY else {})
            for r in self.reasons
        ]
        return {"track_id": self.track_id, "score": self.score, "base": self.base, "reasons": reasons}


def removable(cause: Cause) -> bool:
    """Whether a request can be asked again without it."""
    return cause.kind in (PLAY, CONTEXT) or cause.kind.startswith("plays_of_")


class Played:
    """A history for all tracks of one answer: its different plays, how often each, and their attributes."""

    def __init__(self, history: Sequence[str], info: TrackInfo):
        self.info = info
        self.times = Counter(history)
        self.keys = list(self.times)
        place = {key: i for i, key in enumerate(self.keys)}
        self._together = np.zeros((len(self.keys), len(history)))
        self._together[[place[track] for track in history], np.arange(len(history))] = 1
        self._having: dict[tuple[str, str | None], list[int]] = {}
        for i, key in enumerate(self.keys):
            for named in zip(ATTRIBUTES, _attributes(key, info), strict=True):
                self._having.setdefault(named, []).append(i)

    def having(self, attribute: str, value: str) -> list[str]:
        """The played tracks whose attribute is the value."""
        return [self.keys[i] for i in self._having.get((attribute, value), ())]

    def same(self, track_id: str) -> dict[int, tuple[str, ...]]:
        """Place among the keys -> what the played track has in common with another; of those that have something."""
        found: dict[int, tuple[str, ...]] = {}
        for name, value in zip(ATTRIBUTES, _attributes(track_id, self.info), strict=True):
            for i in self._having.get((name, value), ()) if value is not None else ():
                found[i] = (*found.get(i, ()), name)
        if track_id in self.times:
            found[self.keys.index(track_id)] = ("track",)
        return found

    def together(self, plays: np.ndarray) -> np.ndarray:
        """float64 [..., K, P]: parts of the plays [..., L, P], those of one track added up."""
        return self._together @ plays


def _attributes(track_id: str, info: TrackInfo) -> list[str | None]:
    known = info.get(track_id, {})
    return [known.get(key) or known.get(name) or None for name, key in _KEYS.items()]


def explanations(
    tracks: Sequence[str],
    history: Sequence[str],
    plays: np.ndarray,
    rest: np.ndarray,
    groups: Sequence[str],
    info: TrackInfo | None = None,
    played: Played | None = None,
    least: float = 0.0,
) -> list[Explanation]:
    """One request's answer: plays [C, L, P] and rest [C, G] of the C ``tracks``, as of the signature ``reasons``.

    ``played``: of ``history`` and ``info``, for whoever has it already; all else as of :meth:`Explanation.of`.
    """
    plays, rest = np.asarray(plays, np.float64), np.asarray(rest, np.float64)
    n, length = len(tracks), len(history)
    if plays.shape[:2] != (n, length) or plays.shape[2] > len(groups) or rest.shape != (n, len(groups)):
        raise ValueError(
            f"explanation of {', '.join(tracks)}: parts {plays.shape} and {rest.shape} for {length} plays and "
            f"{len(groups)} groups"
        )
    if not (np.isfinite(plays).all() and np.isfinite(rest).all()):
        raise ValueError(f"explanation of {', '.join(tracks)}: a part is not finite; are all tracks ranked ones?")
    of_plays, small = _of_plays(tracks, played or Played(history, info or {}), plays, groups, least)
    kinds = [group.partition(".") for group in groups]
    out = []
    for track, reasons, others, values in zip(tracks, of_plays, small, rest.tolist(), strict=True):
        base = 0.0
        for group, (kind, _, name), value in zip(groups, kinds, values, strict=True):
            if group == BASE:
                base = value
            elif group == OTHER:
                others += value
            elif value:
                reasons.append(Reason(kind, name or kind, value))
        if others:
            reasons.append(Reason(OTHER, OTHER, others))
        reasons.sort(key=lambda reason: -reason.contribution)
        out.append(Explanation(track, base + sum(reason.contribution for reason in reasons), base, tuple(reasons)))
    return out


def attribute_key(track_id: str, attribute: str, info: TrackInfo) -> str | None:
    """What identifies a track's artist, album or genre; None where unknown."""
    known = info.get(track_id, {})
    return known.get(_KEYS[attribute]) or known.get(attribute) or None


def _of_plays(
    tracks: Sequence[str], played: Played, plays: np.ndarray, groups: Sequence[str], least: float
) -> tuple[list[list[Reason]], list[float]]:
    """Of each track the reasons, and what the plays give together that are too small for one."""
    parts = played.together(plays)
    total, large = parts.sum(2), parts.any(2)
    if least:
        size = np.abs(total)
        large &= size >= least * size.sum(1, keepdims=True)
    small = np.where(large, 0.0, total).sum(1).tolist()
    row, place = np.nonzero(large)
    found: list[list[Reason]] = [[] for _ in tracks]
    same = [played.same(track) for track in tracks]
    told = zip(row.tolist(), place.tolist(), parts[large].tolist(), total[large].tolist(), strict=True)
    for track, i, values, whole in told:
        ways = {group: value for group, value in zip(groups, values, strict=False) if value}
        key = played.keys[i]
        found[track].append(Reason(PLAY, key, whole, ways, played.times[key], same[track].get(i, ())))
    return found, small
