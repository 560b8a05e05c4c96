"""Many moments of each listener instead of one: what comes next at some of the held-out plays, each in its own context.

The tasks of :mod:`models.evaluation.metrics` ask once a listener, at the first held-out play. What the context is worth
shows play by play: within a session as well as at its start, for tracks that return as for new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from models.data import ListeningData
from models.evaluation.metrics import evaluate
from models.evaluation.split import HoldOut, hold_out
from models.recommend.base import Recommender
from models.recommend.requests import moment_of

METRICS = ("moment_ndcg_at_10", "moment_recall_at_10", "moment_mrr_at_100")
NEW = "moment_new"


def moments(train: ListeningData, later: ListeningData, per_user: int = 10, seed: int = 0) -> HoldOut:
    """A hold-out with a row a moment: at most ``per_user`` held-out plays of each listener, drawn evenly.

    train and later: the two parts of :func:`models.evaluation.split.split`, with the same users and catalogue. The
    history of a row is all plays of its listener before the moment, the held-out ones among them; its truth is the one
    play that came. Rows of one listener stand together and are not independent: see :func:`by_listener`.
    """
    if per_user < 1:
        raise ValueError(f"per_user: {per_user}; at least one moment of each listener is needed")
    whole = hold_out(train, later, f"at most {per_user} of the held-out plays of each listener")
    index = {user: row for row, user in enumerate(train.users)}
    users = np.array([index[user] for user in whole.users])
    rng = np.random.default_rng(seed)
    rows, plays = [], []
    for row, user in enumerate(users):
        begin, end = later.offsets[user], later.offsets[user + 1]
        drawn = np.arange(begin, end)
        if end - begin > per_user:
            drawn = np.sort(rng.choice(drawn, per_user, replace=False))
        rows += [row] * len(drawn)
        plays += drawn.tolist()
    context, now = moment_of(later, np.array(plays))

    def before(name: str) -> list[np.ndarray]:
        """The values of the plays of each row's listener before its moment."""
        out = []
        for row, play in zip(rows, plays, strict=True):
            user = users[row]
            known = getattr(train, name)[train.offsets[user] : train.offsets[user + 1]]
            out.append(np.concatenate([known, getattr(later, name)[later.offsets[user] : play]]))
        return out

    return replace(
        whole,
        users=whole.users[rows],
        histories=before("items"),
        truths=[later.items[play : play + 1] for play in plays],
        context=context,
        now=now,
        times=None if train.times is None else before("times"),
        skipped=before("skipped"),
        profile={name: [values[row] for row in rows] for name, values in whole.profile.items()},
    )


def by_listener(model: Recommender, asked: HoldOut) -> Mapping[str, np.ndarray]:
    """One value for every listener of :func:`moments`: METRICS, the mean of the listener's moments, and the same as
    ``moment_new_…`` over the moments at which a track came that the listener had never played (fewer listeners)."""
    found = evaluate(model, asked, intervals=False).per_user
    rows = {name: found[name.replace("moment", "next")] for name in METRICS}
    _, listener = np.unique(asked.users, return_inverse=True)
    new = np.array([truth[0] not in history for truth, history in zip(asked.truths, asked.histories, strict=True)])
    out = {name: _means(values, listener) for name, values in rows.items()}
    return out | {name.replace("moment", NEW): _means(values[new], listener[new]) for name, values in rows.items()}


def _means(values: np.ndarray, listener: np.ndarray) -> np.ndarray:
    count = np.bincount(listener)
    return (np.bincount(listener, values) / np.maximum(count, 1))[count > 0]
