"""What is held out to judge a model: the future, as far as the data know one.

With a true clock, one cutoff for everybody: no model has seen anything later than any play it is judged on. Without
one, the order of each user's own plays is all there is, and the last tenth of it is held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from models.data import Catalogue, ListeningData
from models.evaluation.ranking import Popularity, Relevant
from models.recommend.requests import Requests, moment_of, requests_of

HELD_OUT = 0.1


@dataclass(frozen=True)
class HoldOut:
    """The listeners a model is judged on, in raw ids, so that models with other vocabularies can be judged too.

    users: object [U]; histories and truths: per user, track indices into ``catalogue``, oldest first, none empty;
    context: field -> raw values [U] of the first held-out play, None when unknown, and now: its time in ms (int64 [U]);
    times, skipped: per user, of the plays of the history; profile: field -> raw values [U];
    listeners: int64 [I], distinct users of the training part per track; n_users: all users of the training part.

    Made by :func:`hold_out`, users are in ascending order of their ids, so that the resamples of an interval do not
    depend on the order of rows in the lake.
    """

    users: np.ndarray
    histories: list[np.ndarray]
    truths: list[np.ndarray]
    context: Mapping[str, Sequence]
    catalogue: Catalogue
    listeners: np.ndarray
    n_users: int
    description: str
    now: np.ndarray | None = None
    times: list[np.ndarray] | None = None
    skipped: list[np.ndarray] | None = None
    profile: Mapping[str, Sequence] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def relevant(self) -> dict[str, Relevant]:
        """By task, what counts as a hit: the very next play; every held-out track that the history lacks."""
        n_items = len(self.catalogue)
        known, held = keys_of(self.histories, n_items), keys_of(self.truths, n_items)
        following = np.arange(len(self)) * n_items + np.array([truth[0] for truth in self.truths], dtype=np.int64)
        new = np.setdiff1d(held, known, assume_unique=True)
        return {
            "next": Relevant.of(following, len(self), n_items),
            "discover": Relevant.of(new, len(self), n_items),
        }

    @cached_property
    def popularity(self) -> Popularity:
        """How popular each user's history is."""
        keys = keys_of(self.histories, len(self.catalogue))
        user, item = np.divmod(keys, len(self.catalogue))
        distinct = np.bincount(user, minlength=len(self))
        total = np.bincount(user, self.listeners[item], minlength=len(self))
        return Popularity(self.listeners, total / np.maximum(distinct, 1))

    def raw_histories(self) -> list[list[str]]:
        return [self.catalogue.ids[history].tolist() for history in self.histories]

    def requests(self, task: str) -> Requests:
        """What a model is asked for ``task``, the moment that of the first held-out play."""
        asked = Requests(self.raw_histories(), None, self.times, self.skipped, self.now, self.context, self.profile)
        return asked.for_task(task)

    def sample(self, n: int, seed: int = 0) -> HoldOut:
        """At most ``n`` of the users, chosen by ``seed``."""
        if len(self) <= n:
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:n])

        def rows(values):
            return None if values is None else [values[i] for i in chosen]

        return replace(
            self,
            users=self.users[chosen],
            histories=rows(self.histories),
            truths=rows(self.truths),
            context={name: rows(values) for name, values in self.context.items()},
            description=f"{self.description}, {n} users sampled",
            now=None if self.now is None else self.now[chosen],
            times=rows(self.times),
            skipped=rows(self.skipped),
            profile={name: rows(values) for name, values in self.profile.items()},
        )


def split(data: ListeningData, share: float = HELD_OUT) -> tuple[ListeningData, HoldOut]:
    """Training part and hold-out: by time where ``data.clock`` is "event", by each user's order otherwise.

    Raises ValueError when nobody has plays on both sides.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: {share} must lie between 0 and 1")
    if data.clock == "event":
        cutoff = np.quantile(data.times, 1 - share, method="higher")
        later = data.times >= cutoff
        what = f"plays from {moment(cutoff)} on (global temporal split)"
    else:
        later = last_plays(data, share)
        what = f"the last max(1, floor({share:g} n)) of each user's n plays (per-user order; no true clock)"
    train = data.keep(~later)
    return train, hold_out(train, data.keep(later), what)


def moment(ms: float) -> str:
    """A time in ms since 1970 as ISO text in UTC."""
    return f"{np.datetime64(int(ms), 'ms')}Z"


def last_plays(data: ListeningData, share: float = HELD_OUT) -> np.ndarray:
    """bool [N]: the last max(1, floor(share n)) of every user's n plays."""
    n = np.diff(data.offsets)
    held = np.maximum(1, np.floor(share * n + 1e-9)).astype(np.int64)
    position = np.arange(data.n_plays) - data.offsets[data.user_of_play]
    return position >= (n - held)[data.user_of_play]


def hold_out(train: ListeningData, later: ListeningData, description: str) -> HoldOut:
    """The users with plays both in ``train`` and in ``later`` (two parts with the same users and catalogue)."""
    both = np.flatnonzero((np.diff(train.offsets) > 0) & (np.diff(later.offsets) > 0))
    if not len(both):
        raise ValueError(
            f"hold-out: none of {train.n_users} users has plays on both sides of the split ({description}); "
            "more days of events are needed before a model can be judged"
        )
    both = both[id_order(train.users[both])]
    context, now = moment_of(later, later.offsets[both])
    asked = requests_of(train, both)
    return HoldOut(
        users=train.users[both],
        histories=[train.history(user) for user in both],
        truths=[later.history(user) for user in both],
        context=context,
        catalogue=train.catalogue,
        listeners=train.listeners,
        n_users=int((np.diff(train.offsets) > 0).sum()),
        description=description,
        now=now,
        times=asked.times,
        skipped=asked.skipped,
        profile=asked.profile,
    )


def id_order(ids: Sequence[str]) -> np.ndarray:
    """int64 [n]: places of the ids in ascending order, as numbers where every id is a plain integer, else as text."""
    text = np.asarray(ids, dtype=str)
    plain = all(i.isdecimal() and i.isascii() and (i == "0" or i[0] != "0") and len(i) < 19 for i in text.tolist())
    return np.argsort(text.astype(np.int64) if plain else text, kind="stable")


def keys_of(lists: Sequence[np.ndarray], n_items: int) -> np.ndarray:
    """int64, sorted and distinct: row * n_items + item of every entry of the lists."""
    if not len(lists):
        return np.zeros(0, np.int64)
    rows = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
    keys = np.sort(rows * n_items + np.concatenate(lists))  # np.unique hashes: 20 times slower here
    return keys[np.diff(keys, prepend=-1) > 0]
