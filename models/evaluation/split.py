"""What is held out to judge a model: the future, as far as the data know one.

With a true clock, one cutoff for everybody: no model has seen anything later than any play it is judged on. Without
one, the order of each user's own plays is all there is, and the last tenth of it is held out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data import UNKNOWN, Catalogue, ListeningData

HELD_OUT = 0.1


@dataclass(frozen=True)
class HoldOut:
    """The listeners a model is judged on, in raw ids, so that models with other vocabularies can be judged too.

    users: object [U]; histories and truths: per user, track indices into ``catalogue``, oldest first, none empty;
    hours: int32 [U] and devices: list [U], the context of the first held-out play (-1, "" when unknown);
    listeners: int64 [I], distinct users of the training part per track; n_users: all users of the training part.
    """

    users: np.ndarray
    histories: list[np.ndarray]
    truths: list[np.ndarray]
    hours: np.ndarray
    devices: list[str]
    catalogue: Catalogue
    listeners: np.ndarray
    n_users: int
    description: str

    def __len__(self) -> int:
        return len(self.users)

    def raw_histories(self) -> list[list[str]]:
        return [self.catalogue.ids[history].tolist() for history in self.histories]

    def sample(self, n: int, seed: int = 0) -> HoldOut:
        """At most ``n`` of the users, chosen by ``seed``."""
        if len(self) <= n:
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:n])
        return HoldOut(self.users[chosen], [self.histories[i] for i in chosen], [self.truths[i] for i in chosen],
                       self.hours[chosen], [self.devices[i] for i in chosen], self.catalogue, self.listeners,
                       self.n_users, f"{self.description}, {n} users sampled")  # fmt: skip


def split(data: ListeningData, share: float = HELD_OUT) -> tuple[ListeningData, HoldOut]:
    """Training part and hold-out: by time where ``data.clock`` is "event", by each user's order otherwise.

    Raises ValueError when nobody has plays on both sides.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: {share} must lie between 0 and 1")
    if data.clock == "event":
        cutoff = np.quantile(data.times, 1 - share, method="higher")
        later = data.times >= cutoff
        what = f"plays from {np.datetime64(int(cutoff), 'ms')}Z on (global temporal split)"
    else:
        later = last_plays(data, share)
        what = f"the last max(1, floor({share:g} n)) of each user's n plays (per-user order; no true clock)"
    train = data.keep(~later)
    return train, hold_out(train, data.keep(later), what)


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
    first = later.offsets[both]
    codes = later.devices[first]
    return HoldOut(
        users=train.users[both],
        histories=[train.history(user) for user in both],
        truths=[later.history(user) for user in both],
        hours=later.hours[first].astype(np.int32),
        devices=["" if code == UNKNOWN else later.device_names[code] for code in codes],
        catalogue=train.catalogue,
        listeners=train.listeners,
        n_users=int((np.diff(train.offsets) > 0).sum()),
        description=description,
    )
