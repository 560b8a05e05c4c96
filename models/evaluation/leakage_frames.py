"""The leakage test for frames of events: features of a training set with one row an event, such as a ranker's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.evaluation.leakage import CUTS, Leak, LeakageError, proofs

if TYPE_CHECKING:
    import pandas as pd

# events -> one row an event, in the order of the frame's rows, of what was known just before the event
FrameFeature = Callable[["pd.DataFrame"], "np.ndarray | pd.Series | pd.DataFrame"]


def find_frame_leaks(
    features: Mapping[str, FrameFeature],
    events: pd.DataFrame,
    time: str,
    known: Sequence[str] = (),
    cuts: Sequence[float] = CUTS,
    seed: int = 0,
    atol: float = 0.0,
) -> dict[str, Leak]:
    """The features that read the future, by name; empty when all are honest.

    events: a row an event; time: its column with the moment; known: the columns that are known when an event begins
    (its user, hour or device, and for a ranker the track it is about). A cut is a moment: the rows of earlier events
    must not change, and those of the events at the cut must not when their other columns (what came of them) do.
    Raises ValueError for a missing column and for a feature that has not one row an event.
    """
    missing = [name for name in (time, *known) if name not in events.columns]
    if missing:
        raise ValueError(f"events: no column {missing[0]!r}; there are {list(events.columns)}")
    events = events.reset_index(drop=True)
    moments = events[time].to_numpy()
    leaks: dict[str, Leak] = {}
    for cut in cuts:
        start = np.sort(moments)[min(int(cut * len(moments)), len(moments) - 1)]
        checked = int((moments <= start).sum())
        at_cut = {name: _rows(f, time, start, checked) for name, f in features.items() if name not in leaks}
        futures = tampered_frames(events, time, start, known, np.random.default_rng(seed))
        leaks |= proofs(at_cut, cut, events, futures, atol)
    return leaks


def assert_no_frame_leak(
    features: Mapping[str, FrameFeature], events: pd.DataFrame, time: str, known: Sequence[str] = (), **options
) -> None:
    """Raise LeakageError that names every feature that reads the future; options as in :func:`find_frame_leaks`."""
    leaks = find_frame_leaks(features, events, time, known, **options)
    if leaks:
        raise LeakageError("features read the future:\n" + "\n".join(f"- {leak}" for leak in leaks.values()))


def tampered_frames(
    events: pd.DataFrame, time: str, start, known: Sequence[str], rng: np.random.Generator
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The same past with other futures from ``start`` on: (what was done, events).

    Rows stay in their places; of the events at ``start`` the columns ``known`` stay as they are.
    """
    import pandas as pd

    moments = events[time].to_numpy()
    future, later = np.flatnonzero(moments >= start), np.flatnonzero(moments > start)
    free = [name for name in events.columns if name != time]

    def changed(draw: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
        columns = {}
        for name in free:
            rows = later if name in known else future
            values = events[name].copy()
            values.iloc[rows] = events[name].iloc[draw(rows)].to_numpy()
            columns[name] = values
        return events.assign(**columns)

    yield "shuffled", changed(rng.permutation)
    yield "replaced", changed(lambda rows: rng.integers(0, len(events), len(rows)))
    yield "removed", events.drop(index=later).reset_index(drop=True)
    copies = events.iloc[rng.choice(future, min(len(future), 100))]
    last = events[time].max() + (events[time].max() - events[time].min()) / 100
    more = copies.assign(**{time: pd.Series(last, index=copies.index).astype(events[time].dtype)})
    yield "added to", pd.concat([events, more], ignore_index=True)


def _rows(feature: FrameFeature, time: str, start, checked: int) -> Callable[[pd.DataFrame], np.ndarray]:
    """The feature's rows of the events up to ``start``, of which there are ``checked`` in every future."""

    def rows(events: pd.DataFrame) -> np.ndarray:
        values = np.asarray(feature(events))
        if len(values) != len(events):
            raise ValueError(f"feature: {len(values)} rows for {len(events)} events; one is needed for each")
        found = values[events[time].to_numpy() <= start]
        assert len(found) == checked, "tampering keeps the events up to the cut"
        return found

    return rows
