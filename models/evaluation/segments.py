"""The same metrics by kind of listener and by kind of track: where quality comes from, and who pays for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.evaluation.bootstrap import RESAMPLES, Difference, draw_means, interval_of, recentred
from models.evaluation.bootstrap import coverage as coverage_of
from models.evaluation.metrics import COVERAGE, PRIMARY, Evaluation, Measured, compare, measure
from models.evaluation.ranking import K, Ranked, accuracy
from models.evaluation.split import HoldOut

if TYPE_CHECKING:
    import pandas as pd

USER, ITEM = "user", "item"
NEW_PLAYS = 10  # at most so many plays in the history: a new user
HEAVY_SHARE = 1 / 3  # of the users who are not new: those with the most plays
HEAD_SHARE = 0.5  # of the listeners of all tracks: those of the head
EXPOSURE = f"exposure_at_{K}"
COLUMNS = ("model", "by", "segment", "rule", "metric", "value", "lo", "hi", "users", "relevant")


@dataclass(frozen=True)
class Segmentation:
    """Users or tracks in classes.

    by: "user" or "item"; names and rules: one a class, the rule in words; codes: int [U] rows of the hold-out or [I]
    tracks of its catalogue, -1 for those in no class.
    """

    by: str
    names: tuple[str, ...]
    rules: tuple[str, ...]
    codes: np.ndarray

    @classmethod
    def of_labels(cls, by: str, labels: Sequence[str], what: str) -> Segmentation:
        """A class for every distinct label (such as a country), "" for none; ``what`` says of what."""
        names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
        codes = np.where(np.asarray(labels, dtype=str) == "", -1, codes)
        return cls(by, tuple(names.tolist()), tuple(f"{what}: {name}" for name in names), codes)


@dataclass(frozen=True)
class Segment:
    """One class and how a model did on it; ``evaluation`` is None when the class has no user to judge on."""

    by: str
    name: str
    rule: str
    evaluation: Evaluation | None


def user_segments(hold_out: HoldOut, new: int = NEW_PLAYS, heavy: float = HEAVY_SHARE) -> Segmentation:
    """New, light and heavy listeners, by the plays of their histories."""
    plays = np.array([len(history) for history in hold_out.histories])
    known = plays[plays > new]
    limit = np.quantile(known, 1 - heavy, method="higher") if len(known) else new + 1
    codes = np.where(plays <= new, 0, np.where(plays < limit, 1, 2))
    rules = (f"at most {new} plays", f"{new + 1} to {limit - 1:.0f} plays", f"{limit:.0f} plays or more")
    return Segmentation(USER, ("new", "light", "heavy"), rules, codes)


def item_segments(hold_out: HoldOut, head: float = HEAD_SHARE) -> Segmentation:
    """Head: the most listened tracks that have a share ``head`` of all (track, listener) pairs of the training part;
    tail: the other tracks with a listener; new: no training play."""
    listeners = np.asarray(hold_out.listeners)
    ordered = np.sort(listeners)[::-1]
    enough = np.searchsorted(np.cumsum(ordered), head * ordered.sum())
    limit = max(1, ordered[min(enough, len(ordered) - 1)])
    codes = np.where(listeners == 0, 2, np.where(listeners >= limit, 0, 1))
    n = np.bincount(codes, minlength=3)
    rules = (
        f"{limit} listeners or more ({n[0]:,} of the tracks)",
        f"1 to {limit - 1} listeners ({n[1]:,})",
        f"no training play ({n[2]:,})",
    )
    return Segmentation(ITEM, ("head", "tail", "new"), rules, codes)


def segments(
    evaluation: Evaluation,
    hold_out: HoldOut,
    segmentations: Sequence[Segmentation] | None = None,
    resamples: int = RESAMPLES,
) -> Iterator[Segment]:
    """How a model did in every class of the segmentations (by default those above).

    By user: all metrics, over the users of the class. By item: accuracy with the tracks of the class alone counted as
    relevant, ranks those of the full list, over the users with such a track; for ``discover`` also the class's share
    of the top places (``exposure_at_10``) and the part of the class that is in any top list (``coverage_at_10``), over
    all users. Raises ValueError for an evaluation of another hold-out.
    """
    chosen = (user_segments(hold_out), item_segments(hold_out)) if segmentations is None else segmentations
    for task, users in evaluation.users.items():
        if not np.array_equal(users, hold_out.users[hold_out.relevant[task].users]):
            raise ValueError(f"{evaluation.model}: was judged on other users than those of {hold_out.description}")
    for segmentation in chosen:
        for code, (name, rule) in enumerate(zip(segmentation.names, segmentation.rules, strict=True)):
            member = segmentation.codes == code
            parts = {}
            for task, ranked in evaluation.ranked.items():
                part = _of_users if segmentation.by == USER else _of_items
                found = part(task, ranked, hold_out, member, resamples)
                if found is not None:
                    parts[task] = found
            yield Segment(segmentation.by, name, rule, _joined(evaluation.model, parts, hold_out) if parts else None)


Part = tuple[Ranked, Measured]


def _of_users(task: str, ranked: Ranked, hold_out: HoldOut, member: np.ndarray, resamples: int) -> Part | None:
    mine = ranked.take(member[ranked.users])
    return (mine, measure(task, mine, hold_out, resamples)) if len(mine) else None


def _of_items(task: str, ranked: Ranked, hold_out: HoldOut, member: np.ndarray, resamples: int) -> Part | None:
    relevant = hold_out.relevant[task].only(member, len(hold_out))
    mine = ranked.only(member, relevant)
    if not len(mine):
        return None
    per_user = accuracy(mine)
    means, _ = draw_means(np.stack(list(per_user.values()), 1), resamples=resamples)
    draws = dict(zip(per_user, means.T, strict=True))
    metrics = {name: interval_of(float(values.mean()), draws[name]) for name, values in per_user.items()}
    if task == "discover":
        inside = np.append(member, False)[ranked.top]
        share = inside.sum(1) / np.maximum((ranked.top >= 0).sum(1), 1)
        number = np.where(inside, np.append(np.cumsum(member) - 1, -1)[ranked.top], -1)
        means, covered = draw_means(share[:, None], number, int(member.sum()), resamples)
        value = coverage_of(number, int(member.sum()))
        draws |= {EXPOSURE: means[:, 0], COVERAGE: recentred(value, covered)}
        metrics |= {
            EXPOSURE: interval_of(float(share.mean()), draws[EXPOSURE]),
            COVERAGE: interval_of(value, draws[COVERAGE]),
        }
    return mine, Measured(metrics, per_user, draws)


def _joined(model: str, parts: dict[str, Part], hold_out: HoldOut) -> Evaluation:
    def named(values: str) -> dict:
        return {f"{task}_{k}": v for task, (_, part) in parts.items() for k, v in getattr(part, values).items()}

    ranked = {task: one for task, (one, _) in parts.items()}
    return Evaluation(
        model, named("metrics"), named("per_user"), 0.0, named("draws"), ranked,
        {task: hold_out.users[one.users] for task, one in ranked.items()},
    )  # fmt: skip


def by_segment(
    evaluations: Evaluation | Sequence[Evaluation],
    hold_out: HoldOut,
    segmentations: Sequence[Segmentation] | None = None,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Tidy: one row a model, class and metric, with columns ``COLUMNS``.

    users: how many the class's figure is a mean over; relevant: (user, track) pairs that were to be found. A class
    without anybody has one row, with users = 0 and no metric.
    """
    import pandas as pd

    rows = []
    for evaluation in [evaluations] if isinstance(evaluations, Evaluation) else evaluations:
        for segment in segments(evaluation, hold_out, segmentations, resamples):
            head, found = (evaluation.model, segment.by, segment.name, segment.rule), segment.evaluation
            if found is None:
                rows.append((*head, "", np.nan, np.nan, np.nan, 0, 0))
                continue
            for metric, m in found.metrics.items():
                task, name = metric.split("_", 1)
                everybody = segment.by == ITEM and name in (EXPOSURE, COVERAGE)
                users = len(evaluation.ranked[task] if everybody else found.ranked[task])
                rows.append((*head, metric, m.value, m.lo, m.hi, users, int(found.ranked[task].counts.sum())))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def compare_by_segment(
    baseline: Evaluation,
    candidate: Evaluation,
    hold_out: HoldOut,
    metric: str = PRIMARY,
    segmentations: Sequence[Segmentation] | None = None,
) -> dict[tuple[str, str], Difference]:
    """(by, segment) -> paired difference candidate - baseline; classes without users are left out."""
    pairs = zip(segments(baseline, hold_out, segmentations), segments(candidate, hold_out, segmentations), strict=True)
    return {
        (one.by, one.name): compare(one.evaluation, other.evaluation, metric)
        for one, other in pairs
        if one.evaluation is not None and metric in one.evaluation.metrics
    }
