"""Whether explanations are true: taking the named cause away should lower the score, and more than taking away another.

The deletion test of Samek et al. 2017 ("Evaluating the visualization of what a deep neural network has learned"), on
what a listener could check: plays leave the history, a field of the context becomes unknown, and the model is asked
again. The control takes away as many other played tracks (or another known field), drawn at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from models.context.wire import known
from models.evaluation.bootstrap import RESAMPLES, Difference, Interval, mean_interval, paired_interval
from models.recommend.explain import CONTEXT, PLAY, Cause, Explanation
from models.recommend.requests import Requests

Tracks = Sequence[Sequence[str]]
PLAYS = (PLAY, "plays_of_artist", "plays_of_album")


class Explainable(Protocol):
    """A model that scores given tracks of every request and explains them."""

    def scores_of(self, requests: Requests, tracks: Tracks) -> list[np.ndarray]:
        """Per request float [C], the scores of its tracks."""
        ...

    def explain(self, requests: Requests, tracks: Tracks) -> list[list[Explanation]]: ...


@dataclass(frozen=True)
class Fidelity:
    """asked: requests; tested: those whose cause could be taken away and had a control; listeners: who asked them.
    share: where the score fell; drop: by how much; control_share, control_drop: the same for the random control;
    difference: drop - control drop, paired; gap: largest |sum of the contributions - score|. causes: kinds of what was
    taken away, fields of the context by name. Intervals: bootstrap over listeners, 95 %."""

    asked: int
    tested: int
    listeners: int
    share: Interval
    drop: Interval
    control_share: Interval
    control_drop: Interval
    difference: Difference
    gap: float
    causes: Counter[str]

    def row(self) -> list[str]:
        """Cells of a table, see ``HEADER``."""
        shares = [f"{i.value:.1%} [{i.lo:.1%}, {i.hi:.1%}]" for i in (self.share, self.control_share)]
        drops = [f"{i:+}" for i in (self.drop, self.control_drop, self.difference)]
        return [f"{self.tested:,} of {self.asked:,}", *shares, *drops, f"{self.gap:.1e}"]


HEADER = ("tested", "score falls", "for another", "fall", "for another's", "difference", "sum − score, at most")


def fidelity(
    model: Explainable,
    requests: Requests,
    tracks: Sequence[str],
    *,
    listeners: Sequence[str] | None = None,
    against: Tracks | None = None,
    kinds: Collection[str] = (*PLAYS, CONTEXT),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Fidelity:
    """Test the explanation of one track of every request (that which was recommended first, say).

    listeners: who asks; the requests of one count as one, by their mean (all differ by default). against: further
    tracks of each request; given, what counts is the score over their mean score. A ranker of lists fixes scores up to
    a constant a request only, and what is taken away may lower all of them. kinds: of causes, the largest of which is
    tested.
    Raises ValueError where no request can be tested.
    """
    if len(tracks) != len(requests):
        raise ValueError(f"fidelity: {len(tracks)} tracks for {len(requests)} requests; give one each")
    rng, kept, changes = np.random.default_rng(seed), [], []
    explained = model.explain(requests, [[track] for track in tracks])
    for row, found in enumerate(explained):
        cause = found[0].cause(kinds)
        control = None if cause is None else _control(cause, requests, row, tracks[row], rng)
        if control is not None:
            kept.append(row)
            changes.append((cause, control))
    if not kept:
        raise ValueError(
            "fidelity: no request has a cause that can be taken away and another to compare with; ask with histories "
            "of two different tracks or more"
        )
    asked = [[tracks[row], *(against[row] if against is not None else ())] for row in kept]
    drops = _drops(model, requests, kept, changes, asked)
    tested, gap = len(drops), _gap(model, requests, tracks, explained)
    if listeners is not None:
        drops = by_listener(drops, [listeners[row] for row in kept])
    drop, control_drop, fell, control_fell = drops.T
    return Fidelity(
        len(requests),
        tested,
        len(drops),
        mean_interval(fell, resamples),
        mean_interval(drop, resamples),
        mean_interval(control_fell, resamples),
        mean_interval(control_drop, resamples),
        paired_interval(control_drop, drop, resamples),
        gap,
        Counter(cause.keys[0] if cause.kind == CONTEXT else cause.kind for cause, _ in changes),
    )


def _gap(model: Explainable, requests: Requests, tracks: Sequence[str], explained) -> float:
    scores = model.scores_of(requests, [[track] for track in tracks])
    return max(abs(found[0].score - float(score[0])) for found, score in zip(explained, scores, strict=True))


def _drops(model: Explainable, requests: Requests, rows: list[int], changes, tracks: Tracks) -> np.ndarray:
    """float64 [n, 4]: drop, drop of the control, and whether each is above 0."""

    def measure(asked: Requests) -> np.ndarray:
        scores = model.scores_of(asked, tracks)
        return np.array([s[0] - (s[1:].mean() if len(s) > 1 else 0.0) for s in scores], np.float64)

    whole = measure(joined([_row(requests, row) for row in rows]))
    out = []
    for which in range(2):
        less = [without(_row(requests, row), change[which]) for row, change in zip(rows, changes, strict=True)]
        out.append(whole - measure(joined(less)))
    return np.stack([*out, *(drop > 0 for drop in out)], 1).astype(np.float64)


def without(request: Requests, cause: Cause) -> Requests:
    """A single request as if the cause had not been there. Raises ValueError for a cause that cannot be taken away."""
    if cause.kind in PLAYS:
        return _without_plays(request, frozenset(cause.keys))
    if cause.kind == CONTEXT:
        gone = {name: [None] for name in cause.keys}
        # the month of a request follows from its time unless it is told
        return replace(request, context={**request.context, **gone})
    raise ValueError(f"fidelity: a cause of kind {cause.kind!r} cannot be taken away; only plays and context can")


def _without_plays(request: Requests, gone: Collection[str]) -> Requests:
    keep = [place for place, track in enumerate(request.histories[0]) if track not in gone]

    def cut(rows):
        return None if rows is None else [[rows[0][place] for place in keep]]

    return replace(
        request, histories=cut(request.histories), times=cut(request.times), skipped=cut(request.skipped)
    )  # fmt: skip


def _control(cause: Cause, requests: Requests, row: int, track: str, rng: np.random.Generator) -> Cause | None:
    """As much of the same kind, drawn at random from what the cause is not; None where there is not enough.

    Plays of the track itself are no fair control of another play and are left out, and so are groups as causes.
    """
    if cause.kind == CONTEXT:
        told = [name for name, values in requests.context.items() if known(name, values[row])]
        if cause.keys[0] not in told:
            return None
        others = sorted(set(told) - set(cause.keys))
        return Cause(CONTEXT, (str(rng.choice(others)),), 0.0) if others else None
    if cause.kind not in PLAYS:
        return None
    others = sorted(set(requests.histories[row]) - set(cause.keys) - {"", track})
    n = len(cause.keys)
    if len(others) < n:
        return None
    return Cause(PLAY, tuple(rng.choice(others, n, replace=False).tolist()), 0.0)


def _row(requests: Requests, row: int) -> Requests:
    return requests[row : row + 1]


def joined(rows: Sequence[Requests]) -> Requests:
    """Single requests with the same things known as one batch."""

    def column(name: str):
        values = [getattr(row, name) for row in rows]
        return None if values[0] is None else [value[0] for value in values]

    fields = {name: None for row in rows for name in row.context}
    context = {name: [row.context.get(name, [None])[0] for row in rows] for name in fields}
    profile = {name: [row.profile[name][0] for row in rows] for name in rows[0].profile}
    return Requests(*(column(name) for name in ("histories", "exclude", "times", "skipped", "now")), context, profile)


def by_listener(drops: np.ndarray, listeners: Sequence) -> np.ndarray:
    """float64 [listeners, n]: means of values [rows, n] by who asked."""
    _, who = np.unique(np.asarray(listeners, dtype=object).astype(str), return_inverse=True)
    count = np.bincount(who)
    return np.stack([np.bincount(who, column) / count for column in drops.T], 1)
