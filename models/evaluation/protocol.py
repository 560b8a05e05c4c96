"""Three parts to tune and to judge on, by time or by each user's order, and the filter of the common protocol.

Settings are chosen on the validation part only; the test part is judged once. The per-user shares and the filter are
those of the protocol ``music-rec-protocol/1``, so that figures stand beside those of its scorer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from models.data import Catalogue, ListeningData
from models.evaluation.split import HELD_OUT, HoldOut, hold_out, last_plays, moment

MIN_TRACK_USERS, MIN_USER_PLAYS = 5, 20
TRAIN_SHARE, VALIDATION_SHARE = 0.8, 0.1


@dataclass(frozen=True)
class Split:
    """What to fit on and what to judge by.

    fit: the training part without its tail, to fit on while settings are chosen; validation: that tail, after the
    histories of ``fit``; train: ``fit`` and the tail, to fit on with the settings chosen; test: what follows ``train``,
    to be judged once. All four have the same users and catalogue.
    """

    fit: ListeningData
    validation: HoldOut
    train: ListeningData
    test: HoldOut


def three_way(
    data: ListeningData, held_out: float | None = None, validation: float = VALIDATION_SHARE, clock: str | None = None
) -> Split:
    """Fit, validation tail and test: by time where the data have a clock, by each user's order otherwise.

    By time: the last ``held_out`` (0.1 by default) of all plays are the test part, the last ``validation`` of the
    others its validation tail, each from one moment on for everybody. By order: of a user's n plays the first
    floor((1 - held_out) n) are for training (held_out 0.2 by default), and the last max(1, floor(validation n_train))
    of these are the validation tail.

    ``clock="synthetic"`` asks for the per-user order although there is a clock. Raises ValueError when a share is not
    between 0 and 1 or nobody has plays on both sides.
    """
    for name, share in (("held_out", held_out), ("validation", validation)):
        if share is not None and not 0 < share < 1:
            raise ValueError(f"{name}: {share} must lie between 0 and 1")
    if (clock or data.clock) == "event":
        return _by_time(data, HELD_OUT if held_out is None else held_out, validation)
    return _by_order(data, 1 - TRAIN_SHARE if held_out is None else held_out, validation)


def _by_time(data: ListeningData, held_out: float, validation: float) -> Split:
    if data.times is None:
        raise ValueError("clock: the data have no true times; leave clock out or say clock='synthetic'")
    start = np.quantile(data.times, 1 - held_out, method="higher")
    earlier = data.times[data.times < start]
    if not len(earlier):
        raise ValueError("split: all plays are at one moment; more days of events are needed")
    tail_start = np.quantile(earlier, 1 - validation, method="higher")
    return _parts(
        data,
        data.times < tail_start,
        data.times < start,
        f"plays from {moment(tail_start)} up to {moment(start)} (global temporal split)",
        f"plays from {moment(start)} on (global temporal split)",
    )


def _by_order(data: ListeningData, held_out: float, validation: float) -> Split:
    n = np.diff(data.offsets)
    n_train = np.floor((1 - held_out) * n + 1e-9).astype(np.int64)
    position = np.arange(data.n_plays) - data.offsets[data.user_of_play]
    in_train = position < n_train[data.user_of_play]
    train = data.keep(in_train)
    in_fit = in_train.copy()
    in_fit[in_train] = ~last_plays(train, validation)
    shares = f"the first floor({1 - held_out:g} n) of each user's n plays"
    return _parts(
        data,
        in_fit,
        in_train,
        f"the last max(1, floor({validation:g} m)) of the m training plays, {shares} (per-user order)",
        f"what follows {shares} (per-user order)",
    )


def _parts(data: ListeningData, in_fit: np.ndarray, in_train: np.ndarray, tail: str, rest: str) -> Split:
    fit, train = data.keep(in_fit), data.keep(in_train)
    return Split(
        fit, hold_out(fit, data.keep(in_train & ~in_fit), tail), train, hold_out(train, data.keep(~in_train), rest)
    )


def protocol_filter(
    data: ListeningData, min_track_users: int = MIN_TRACK_USERS, min_user_plays: int = MIN_USER_PLAYS
) -> ListeningData:
    """First tracks of at least ``min_track_users`` distinct users, then users with at least ``min_user_plays`` of the
    remaining plays; once, on all data, before any split. The catalogue is what still has a play.

    Users who fall out stay in ``users``, without plays. Raises ValueError when nothing is left.
    """
    kept = data.keep((data.listeners >= min_track_users)[data.items])
    kept = kept.keep((np.diff(kept.offsets) >= min_user_plays)[kept.user_of_play])
    if not kept.n_plays:
        raise ValueError(
            f"filter: nothing is left (tracks of >= {min_track_users} users, then users of >= {min_user_plays} plays)"
        )
    played = kept.plays > 0
    number = np.cumsum(played) - 1
    return replace(
        kept, catalogue=take_tracks(kept.catalogue, played), items=number[kept.items].astype(kept.items.dtype)
    )


def protocol_split(data: ListeningData) -> Split:
    """Filter and per-user split of the common protocol: what its scorer's ``prepare`` makes of the same plays."""
    return three_way(protocol_filter(data), clock="synthetic")


def take_tracks(catalogue: Catalogue, chosen: np.ndarray) -> Catalogue:
    """The catalogue of the tracks where ``chosen`` (bool [I]) is true, in the same order; codes keep their meaning."""
    columns = {f.name: getattr(catalogue, f.name) for f in fields(catalogue)}
    return replace(
        catalogue,
        **{
            name: value[chosen]
            for name, value in columns.items()
            if isinstance(value, np.ndarray) and len(value) == len(catalogue)
        },
    )
