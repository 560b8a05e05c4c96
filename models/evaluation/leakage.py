"""Does a feature see the future? Change the future, and see whether the feature changes.

A feature for training is a function of what was known at some moment; one that also reads what came later makes a
model look good that cannot be built. That is a property of code, so it is tested like one: everything after a cut is
shuffled, replaced, removed and added to, and what was computed for the cut must come out the same, bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from models.data import OF_PLAYS, ListeningData

# (data, seen: int64 [U], how many of each user's first plays are known) -> an array of any shape. ``data`` holds the
# future as well; an honest feature does not look at it.
Feature = Callable[[ListeningData, np.ndarray], np.ndarray]
CUTS = (0.3, 0.5, 0.7, 0.8, 0.9)
KNOWN = ("context", "sessions")  # beside its moment, what is known of a play when it is asked for
MINUTE = 60_000


class LeakageError(AssertionError):
    """Features read the future; the text names them."""


@dataclass(frozen=True)
class Leak:
    """A feature that changed although only the future did.

    tampering: how the future was changed; cut: share of plays before the cut; changed, of: values that differ;
    before, after: the first of them.
    """

    feature: str
    tampering: str
    cut: float
    changed: int
    of: int
    before: float
    after: float

    def __str__(self) -> str:
        return (
            f"{self.feature}: {self.changed} of {self.of} values changed when the future after {self.cut:.0%} of the "
            f"plays was {self.tampering} (first: {self.before:g} became {self.after:g})"
        )


def find_leaks(
    features: Mapping[str, Feature],
    data: ListeningData,
    cuts: Sequence[float] = CUTS,
    seed: int = 0,
    atol: float = 0.0,
) -> dict[str, Leak]:
    """The features that read the future, by name, with the first proof found; empty when all are honest.

    A cut is one moment for everybody where the data have a clock, a share of each user's own plays otherwise. Each
    feature is computed for the cut on the data as they are and on futures changed in the ways of :func:`tampered`.
    Fit models inside the function when they are part of the feature: a model fit on everything leaks. ``atol`` is for
    features with a random order of summation; 0 asks for the same bits. What is found is proven; what is not found
    has passed these changes of these data only.
    """
    leaks: dict[str, Leak] = {}
    for cut in cuts:
        seen = seen_at(data, cut)
        at_cut = {name: partial(_at, feature, seen) for name, feature in features.items() if name not in leaks}
        leaks |= proofs(at_cut, cut, data, tampered(data, seen, np.random.default_rng(seed)), atol)
    return leaks


def _at(feature: Feature, seen: np.ndarray, data: ListeningData) -> np.ndarray:
    return feature(data, seen)


def proofs(
    features: Mapping[str, Callable[[Any], np.ndarray]],
    cut: float,
    world: Any,
    futures: Iterable[tuple[str, Any]],
    atol: float = 0.0,
) -> dict[str, Leak]:
    """Compute features of a world and of the same world with other futures: the first change of each, by name."""
    honest = {name: np.asarray(feature(world)) for name, feature in features.items()}
    leaks: dict[str, Leak] = {}
    for kind, other in futures:
        for name in [n for n in honest if n not in leaks]:
            leak = _difference(name, kind, cut, honest[name], np.asarray(features[name](other)), atol)
            if leak is not None:
                leaks[name] = leak
    return leaks


def assert_no_leak(features: Mapping[str, Feature], data: ListeningData, **options) -> None:
    """Raise :class:`LeakageError` that names every feature that reads the future; options as in :func:`find_leaks`."""
    leaks = find_leaks(features, data, **options)
    if leaks:
        raise LeakageError("features read the future:\n" + "\n".join(f"- {leak}" for leak in leaks.values()))


def at_each_play(feature: Callable[[ListeningData], np.ndarray]) -> Feature:
    """A feature table with a row for every play ([N, ...], what was known just before it) as a :data:`Feature`.

    Checked are the rows of all plays before the cut, and of the plays at the cut: their own tracks are what a model is
    to predict, so they are future; their context and moment are known when the request comes, so they stay. Without
    a clock each user has a play at the cut; with one only the earliest of all future plays is, as the others may
    rightly know of it.
    """

    def rows(data: ListeningData, seen: np.ndarray) -> np.ndarray:
        values = np.asarray(feature(data))
        if len(values) != data.n_plays:
            raise ValueError(f"feature: {len(values)} rows for {data.n_plays} plays; one is needed for each")
        position, known = _position(data), seen[data.user_of_play]
        at_cut = position == known
        if data.times is not None and at_cut.any():
            at_cut &= data.times == data.times[at_cut].min()
        return values[(position < known) | at_cut]

    return rows


def seen_at(data: ListeningData, cut: float) -> np.ndarray:
    """int64 [U]: how many plays of each user are before the cut."""
    if not 0 < cut < 1:
        raise ValueError(f"cut: {cut} must lie between 0 and 1")
    if data.times is None:
        return np.floor(cut * np.diff(data.offsets)).astype(np.int64)
    before = data.times < np.quantile(data.times, cut)
    return np.bincount(data.user_of_play[before], minlength=data.n_users)


def past(data: ListeningData, seen: np.ndarray) -> ListeningData:
    """The data with the known plays only: what an honest feature or model may be computed from."""
    return data.keep(_position(data) < seen[data.user_of_play])


def tampered(data: ListeningData, seen: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, ListeningData]]:
    """The same past with other futures: (what was done, data).

    Of each user's first future play the moment, the context and the session stay: it is the request that a feature is
    computed for. Its track, and what came of it, change.
    """
    position = _position(data)
    future = np.flatnonzero(position >= seen[data.user_of_play])
    later = future[position[future] > seen[data.user_of_play[future]]]

    def changed(draw: Callable[[np.ndarray], np.ndarray], items: np.ndarray | None = None) -> ListeningData:
        """Values of the plays that ``draw`` names in place of those it is given."""
        arrays = {}
        for name in (n for n in OF_PLAYS if n != "times"):
            values, rows = getattr(data, name), later if name in KNOWN else future
            arrays[name] = np.array(values)
            arrays[name][rows] = values[draw(rows)]
        if items is not None:
            arrays["items"][future] = items
        return replace(data, **arrays)

    yield "shuffled", changed(rng.permutation)
    yield "shuffled within each user", changed(lambda rows: _within_users(data, rows, rng))
    others = _other_tracks(data.items[future], data.n_tracks, rng)
    yield "replaced", changed(lambda rows: rng.integers(0, data.n_plays, len(rows)), others)
    keep = np.ones(data.n_plays, bool)
    keep[later] = False
    yield "removed", data.keep(keep)
    yield "added to", _extended(data, seen, rng)
    if data.times is not None:
        yield "moved in time", _postponed(data, later)


def _within_users(data: ListeningData, plays: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The plays with every user's own in random order."""
    return plays[np.lexsort((rng.random(len(plays)), data.user_of_play[plays]))]


def _other_tracks(items: np.ndarray, n_tracks: int, rng: np.random.Generator) -> np.ndarray:
    """A random track for each, always another one."""
    step = rng.integers(1, max(2, n_tracks), len(items))
    return ((items + step) % n_tracks).astype(items.dtype)


def _extended(data: ListeningData, seen: np.ndarray, rng: np.random.Generator, extra: int = 5) -> ListeningData:
    """``extra`` plays after the last of every user who has a future, a minute apart, like random plays of the data."""
    lengths = np.diff(data.offsets)
    users = np.flatnonzero(lengths > seen)
    place = np.repeat(data.offsets[users + 1], extra)
    more = np.zeros(data.n_users, np.int64)
    more[users] = extra
    like = rng.integers(0, data.n_plays, len(place))
    arrays = {name: getattr(data, name) for name in OF_PLAYS if getattr(data, name) is not None}
    added = {name: values[like] for name, values in arrays.items()}
    if data.times is not None:
        last = np.repeat(data.times[data.offsets[users + 1] - 1], extra)
        added["times"] = last + MINUTE * np.tile(np.arange(1, extra + 1), len(users))
    return replace(
        data,
        offsets=np.concatenate([[0], np.cumsum(lengths + more)]),
        **{name: np.insert(values, place, added[name], axis=0) for name, values in arrays.items()},
    )


def _postponed(data: ListeningData, later: np.ndarray) -> ListeningData:
    """All that follows each user's first future play, a day later: the order stays."""
    times = data.times.copy()
    times[later] += 24 * 60 * MINUTE
    return replace(data, times=times)


def _position(data: ListeningData) -> np.ndarray:
    return np.arange(data.n_plays) - data.offsets[data.user_of_play]


def _difference(name: str, kind: str, cut: float, before: np.ndarray, after: np.ndarray, atol: float) -> Leak | None:
    if before.shape != after.shape:
        return Leak(name, kind, cut, before.size, before.size, float(before.shape[0]), float(after.shape[0]))
    if before.dtype.kind in "fc":
        differs = ~np.isclose(before, after, rtol=0, atol=atol, equal_nan=True)
    else:
        differs = before != after
    if not differs.any():
        return None
    return Leak(name, kind, cut, int(differs.sum()), before.size, *(_number(x[differs][0]) for x in (before, after)))


def _number(value) -> float:
    return (
        float(value) if np.issubdtype(type(value), np.number) or isinstance(value, (bool, np.bool_)) else float("nan")
    )


def suspicious(features: Mapping[str, np.ndarray], outcomes: np.ndarray, limit: float = 0.95) -> dict[str, float]:
    """Features that alone tell the outcome (0 or 1, [N]) too well to be true: name -> AUC, of ``limit`` or more.

    A hint and no proof, for training sets whose code cannot be called again. The AUC is the chance that a random
    positive row has the larger value (the smaller one counts as much), a missing value counting as one of its own
    below all others.
    """
    from sklearn.metrics import roc_auc_score

    y = np.asarray(outcomes)
    if len(np.unique(y)) != 2:
        raise ValueError(f"outcomes: {np.unique(y)[:5].tolist()}; both 0 and 1 must occur")
    found = {}
    for name, values in features.items():
        values = np.asarray(values, np.float64)
        low = np.nanmin(values) - 1 if np.isfinite(values).any() else 0.0
        auc = roc_auc_score(y, np.nan_to_num(values, nan=low))
        if max(auc, 1 - auc) >= limit:
            found[name] = float(max(auc, 1 - auc))
    return found
