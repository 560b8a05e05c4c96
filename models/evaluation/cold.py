"""Slices that only a cold start is judged on: listeners with 0, 1, 3 or 10 plays, and tracks without a play.

New listeners are held out whole: nothing of them is in the training part, their first n plays are the history and what
they played after is the truth. New tracks have all their plays taken out of training and of every history; what is
judged is how well they are ranked for listeners who go on to play them, among themselves and in the whole catalogue.

With a true clock nothing later than one moment is in training. A listener drawn to be new arrives at that moment: what
they played before is in no history, as if they had signed up then; whoever has no play before it is new by themselves,
and so is a track.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from models.data import ListeningData
from models.evaluation.bootstrap import Difference
from models.evaluation.metrics import PRIMARY, Evaluation, compare, evaluate
from models.evaluation.segments import ITEM, Segmentation, segments
from models.evaluation.split import HELD_OUT, HoldOut, hold_out, id_order, last_plays, moment
from models.recommend.base import Recommender
from models.recommend.requests import Requests, moment_of, requests_of

if TYPE_CHECKING:
    import pandas as pd

KNOWN_PLAYS = (0, 1, 3, 10)
AMONG, WHOLE = "new tracks, among themselves", "new tracks, in the whole catalogue"
EVERY = "all tracks, in the whole catalogue"
COLUMNS = ("slice", "model", "metric", "value", "lo", "hi", "users")


@dataclass(frozen=True)
class NewListeners:
    """train: the plays that may be learned from, without any of the new listeners'; slices: plays known -> hold-out,
    the same listeners in each, in ascending order of their ids."""

    train: ListeningData
    slices: Mapping[int, HoldOut]


@dataclass(frozen=True)
class NewTracks:
    """train: the plays that may be learned from, none of a new track; new: bool [I]; hold_out: what listeners play
    later; among: the same with plays of the new tracks alone as truth, of the listeners who have one."""

    train: ListeningData
    new: np.ndarray
    hold_out: HoldOut
    among: HoldOut


def new_listeners(
    data: ListeningData,
    share: float = 0.2,
    known: Sequence[int] = KNOWN_PLAYS,
    follow: int = 20,
    later: float = 0.3,
    seed: int = 0,
) -> NewListeners:
    """Hold a ``share`` of the listeners out whole and ask at each number of ``known`` plays.

    follow: the truth is at most so many plays after those known. later: with a true clock, the share of all plays from
    the moment on at which new listeners arrive. Listeners with fewer than ``max(known) + 1`` plays to go by are not
    asked, so that every slice has the same ones; they are in no training either. Raises ValueError when nobody is left
    to ask or to learn from.
    """
    _check_share("share", share)
    if not known or min(known) < 0 or follow < 1:
        raise ValueError(f"known: {tuple(known)} and follow: {follow}; numbers from 0, and at least 1 play to judge")
    drawn = _drawn(data.users, share, seed)
    allowed, what = np.ones(data.n_plays, bool), "from their first play on (no true clock)"
    if data.times is not None:
        _check_share("later", later)
        cutoff = np.quantile(data.times, 1 - later, method="higher")
        earlier = data.times < cutoff
        plays_before = np.bincount(data.user_of_play[earlier], minlength=data.n_users)
        drawn |= plays_before == 0
        allowed, what = earlier, f"from {moment(cutoff)} on"
        start = data.offsets[:-1] + plays_before
    else:
        start = data.offsets[:-1]
    train = data.keep(~drawn[data.user_of_play] & allowed)
    asked = np.flatnonzero(drawn & (data.offsets[1:] - start > max(known)))
    if not len(asked) or not train.n_plays:
        raise ValueError(
            f"new listeners: {len(asked)} of {int(drawn.sum())} held out have more than {max(known)} plays {what}, and "
            f"{train.n_plays} plays are left to learn from; hold out another share, or know fewer plays"
        )
    asked = asked[id_order(data.users[asked])]
    slices = {n: _after(data, train, asked, start[asked], n, follow, what) for n in known}
    return NewListeners(train, slices)


def _after(
    data: ListeningData, train: ListeningData, users: np.ndarray, start: np.ndarray, n: int, follow: int, what: str
) -> HoldOut:
    """What listeners whose plays begin at ``start`` are asked after ``n`` of them."""
    end = np.minimum(start + n + follow, data.offsets[users + 1])
    before = [slice(a, a + n) for a in start]
    context, now = moment_of(data, start + n)
    return HoldOut(
        users=data.users[users],
        histories=[data.items[rows] for rows in before],
        truths=[data.items[a + n : b] for a, b in zip(start, end, strict=True)],
        context=context,
        catalogue=data.catalogue,
        listeners=train.listeners,
        n_users=int((np.diff(train.offsets) > 0).sum()),
        description=f"new listeners {what}: {n} plays known, at most {follow} after them judged",
        now=now,
        times=None if data.times is None else [data.times[rows] for rows in before],
        skipped=[data.skipped[rows] for rows in before],
        profile=requests_of(data, users).profile,
    )


def new_tracks(data: ListeningData, share: float = 0.1, held_out: float = HELD_OUT, seed: int = 0) -> NewTracks:
    """Take a ``share`` of the played tracks out of training; judge on the last part of the plays, as ``split`` does.

    Raises ValueError when nobody goes on to play a new track.
    """
    _check_share("share", share)
    _check_share("held_out", held_out)
    new = _drawn(data.catalogue.ids, share, seed) & (data.plays > 0)
    if data.times is not None:
        cutoff = np.quantile(data.times, 1 - held_out, method="higher")
        is_later, what = data.times >= cutoff, f"plays from {moment(cutoff)} on"
        new |= (np.bincount(data.items[~is_later], minlength=data.n_tracks) == 0) & (data.plays > 0)
    else:
        is_later, what = last_plays(data, held_out), f"the last {held_out:g} of each user's plays"
    train, later = data.keep(~is_later & ~new[data.items]), data.keep(is_later)
    text = f"{int(new.sum()):,} of {data.n_tracks:,} tracks without a play in training, {what}"
    whole = hold_out(train, later, text)
    return NewTracks(train, new, whole, hold_out(train, later.keep(new[later.items]), f"{text}: of the new tracks"))


class Among:
    """A recommender that may return some tracks only: what is left of ``model``'s order without the others."""

    def __init__(self, model: Recommender, allowed: Sequence[str], catalogue: Sequence[str]):
        self.name, self._model = model.name, model
        kept = set(allowed)
        self._others = [track for track in catalogue if track not in kept]

    def recommend(self, requests: Requests, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`models.recommend.base.Recommender`."""
        known = requests.exclude if requests.exclude is not None else [()] * len(requests)
        return self._model.recommend(replace(requests, exclude=[[*self._others, *row] for row in known]), k)


def judge_listeners(models: Sequence[Recommender], asked: NewListeners) -> dict[tuple[str, str], Evaluation]:
    """(slice, model) -> evaluation, slices such as "3 plays"."""
    return {(slice_name(n), model.name): evaluate(model, one) for n, one in asked.slices.items() for model in models}


def judge_tracks(models: Sequence[Recommender], asked: NewTracks) -> dict[tuple[str, str], Evaluation]:
    """(slice, model) -> evaluation: AMONG and WHOLE with the new tracks alone as hits, EVERY with all of them.

    In the whole catalogue ranks are those of the full list, and ``discover_exposure_at_10`` is the share of the top
    places that new tracks get. A model that gives them more places gains in WHOLE; EVERY has what it pays for that.
    """
    ids, out = asked.hold_out.catalogue.ids, {}
    kind = Segmentation(ITEM, ("new",), ("no play in training",), np.where(asked.new, 0, -1))
    for model in models:
        out[AMONG, model.name] = evaluate(Among(model, ids[asked.new].tolist(), ids.tolist()), asked.among, model.name)
        out[EVERY, model.name] = evaluate(model, asked.hold_out)
        found = next(segments(out[EVERY, model.name], asked.hold_out, (kind,))).evaluation
        if found is not None:
            out[WHOLE, model.name] = found
    return out


def slice_name(plays: int) -> str:
    return f"{plays} play{'' if plays == 1 else 's'}"


def table(judged: Mapping[tuple[str, str], Evaluation]) -> pd.DataFrame:
    """Tidy: a row a slice, model and metric, with columns ``COLUMNS``."""
    import pandas as pd

    rows = [
        (part, model, metric, m.value, m.lo, m.hi, len(found.ranked[metric.split("_", 1)[0]]))
        for (part, model), found in judged.items()
        for metric, m in found.metrics.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def differences(
    judged: Mapping[tuple[str, str], Evaluation], candidate: str, metric: str = PRIMARY
) -> dict[tuple[str, str], Difference]:
    """(slice, model) -> candidate - model, paired over the listeners of the slice, for every other model.

    Raises ValueError where the candidate was not judged.
    """
    parts = dict.fromkeys(part for part, _ in judged)
    missing = [part for part in parts if (part, candidate) not in judged]
    if missing:
        raise ValueError(f"{candidate}: was not judged on {', '.join(missing)}; there are "
                         f"{', '.join(dict.fromkeys(model for _, model in judged))}")  # fmt: skip
    return {
        (part, model): compare(found, judged[part, candidate], metric)
        for (part, model), found in judged.items()
        if model != candidate
    }


def markdown(judged: Mapping[tuple[str, str], Evaluation], metric: str = PRIMARY) -> str:
    """A row a model, a column a slice: the metric with its interval."""
    parts, models = (list(dict.fromkeys(key[i] for key in judged)) for i in (0, 1))
    rows = [[model, *(_cell(judged.get((part, model)), metric) for part in parts)] for model in models]
    return _lines(["model", *parts], rows)


def gains(judged: Mapping[tuple[str, str], Evaluation], candidate: str, metric: str = PRIMARY) -> str:
    """A row a model, a column a slice: what the candidate has more, with the paired interval, bold where it excludes
    zero. Raises ValueError as ``differences`` does."""
    found = differences(judged, candidate, metric)
    parts, models = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    cells = {key: f"**{d:+}**" if d.excludes_zero() else f"{d:+}" for key, d in found.items()}
    rows = [[model, *(cells.get((part, model), "") for part in parts)] for model in models]
    return _lines([f"{candidate} over", *parts], rows)


def _cell(found: Evaluation | None, metric: str) -> str:
    return str(found.metrics[metric]) if found is not None and metric in found.metrics else ""


def _lines(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _drawn(ids: np.ndarray, share: float, seed: int) -> np.ndarray:
    """bool [n]: ``share`` of the ids, the same whatever the order they come in."""
    order = id_order(ids)
    chosen = np.zeros(len(ids), bool)
    chosen[order[np.random.default_rng(seed).permutation(len(ids))[: round(share * len(ids))]]] = True
    return chosen


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"{name}: {share} must lie between 0 and 1")
