"""What each part of the context is worth: the same model fit with some fields hidden, judged on the same listeners.

A group of fields is measured twice, alone (added to a model that sees no context) and last (what the model that sees
everything loses without it). Fields that say the same thing are worth something alone and nothing last; fields that
matter only together, the other way round (Hooker et al. 2021 on why a model is fit again and inputs are not merely
shuffled).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from models.context import FIELDS, UNKNOWN
from models.data import ListeningData
from models.evaluation.bootstrap import Interval, mean_interval, paired_interval
from models.evaluation.metrics import PRIMARY, evaluate
from models.evaluation.split import HoldOut
from models.recommend.base import Recommender

if TYPE_CHECKING:
    import pandas as pd

GROUPS: Mapping[str, tuple[str, ...]] = {
    "time": ("hour", "weekday", "month"),
    "device": ("device",),
    "activity": ("activity",),
    "network": ("network",),
    "place and weather": ("country", "weather", "temperature"),
}
NONE, ALL = "none", "all"
METRICS = (PRIMARY, "next_ndcg_at_10")

Fit = Callable[[ListeningData, int], Recommender]
"""Fits a model on plays with a seed."""
Judge = Callable[[Recommender, HoldOut], Mapping[str, np.ndarray]]
"""Metric -> one value for each of the same listeners, whatever model is judged."""


@dataclass(frozen=True)
class Ablation:
    """values: (variant, metric) -> the metric with its interval, variants "none", "all", "only X", "all but X";
    alone: (group, metric) -> "only X" - "none"; last: (group, metric) -> "all" - "all but X"; both paired over
    listeners, "all" under ``alone`` being all - none. More is better for every metric but losses."""

    groups: Mapping[str, tuple[str, ...]]
    metrics: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Mapping[tuple[str, str], Interval]
    alone: Mapping[tuple[str, str], Interval]
    last: Mapping[tuple[str, str], Interval] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """Tidy: group, metric, added ("alone" or "last"), difference, lo, hi."""
        import pandas as pd

        rows = [
            (group, metric, added, d.value, d.lo, d.hi)
            for added, found in (("alone", self.alone), ("last", self.last))
            for (group, metric), d in found.items()
        ]
        return pd.DataFrame(rows, columns=["group", "metric", "added", "difference", "lo", "hi"])

    def markdown(self) -> str:
        """One table a metric; differences whose interval excludes zero in bold."""
        parts = []
        for metric in self.metrics:
            lines = [f"| {metric} | alone | added to none | added to all the others |", "|---|---|---|---|"]
            lines.append(f"| {NONE} | {self.values[NONE, metric]} | | |")
            for group in (*self.groups, ALL):
                value = self.values[group if group == ALL else f"only {group}", metric]
                found = (self._cell(table.get((group, metric))) for table in (self.alone, self.last))
                lines.append(f"| {group} | {value} | {' | '.join(found)} |")
            parts.append("\n".join(lines))
        runs = "one fit" if len(self.seeds) == 1 else f"the mean of {len(self.seeds)} fits"
        return "\n\n".join(parts) + f"\n\nEach value is of {runs} a variant; 95 % intervals over listeners."

    @staticmethod
    def _cell(difference: Interval | None) -> str:
        if difference is None:
            return ""
        return f"**{difference:+}**" if difference.excludes_zero() else f"{difference:+}"


def ablate(
    fit: Fit,
    train: ListeningData,
    hold_out: HoldOut,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    metrics: Sequence[str] = METRICS,
    seeds: Sequence[int] = (0,),
    last: bool = True,
    judge: Judge | None = None,
    progress: Callable[[str], None] | None = None,
) -> Ablation:
    """Fit and judge a model 2 + 2 G times (2 + G without ``last``) a seed, G the number of groups.

    Fields outside the groups are hidden from every variant. Hidden means unknown in the plays that are learned from
    and in the requests; times of plays stay, a model that looks at them knows the order and the gaps. With several
    seeds a listener's value is the mean over them, so that the luck of one fit is not taken for the worth of a field.
    ``progress`` is told each variant before it is fit. Raises ValueError for an unknown field or metric.
    """
    groups = {name: tuple(fields) for name, fields in groups.items()}
    for name, fields in groups.items():
        if name in (NONE, ALL):
            raise ValueError(f"groups: {name!r} is the name of a variant; call the group something else")
        for one in fields:
            if one not in FIELDS:
                raise ValueError(f"groups: {name}: no field is called {one!r}; there are {', '.join(FIELDS)}")
    if not seeds:
        raise ValueError("seeds: none are given; one is needed at least")
    everything = {one for fields in groups.values() for one in fields}
    shown = {NONE: set(), **{f"only {name}": set(fields) for name, fields in groups.items()}, ALL: everything}
    if last:
        shown |= {f"all but {name}": everything - set(fields) for name, fields in groups.items()}
    judged: dict[str, Mapping[str, np.ndarray]] = {}
    for variant, fields in shown.items():
        if progress is not None:
            progress(variant)
        hidden = [one for one in FIELDS if one not in fields]
        part, asked = hide(train, hidden), hide_asked(hold_out, hidden)
        judged[variant] = _mean([(judge or _ranked)(fit(part, seed), asked) for seed in seeds], metrics)

    def differences(pairs: Mapping[str, tuple[str, str]]) -> dict[tuple[str, str], Interval]:
        return {
            (name, metric): paired_interval(judged[less][metric], judged[more][metric])
            for name, (less, more) in pairs.items()
            for metric in metrics
        }

    return Ablation(
        groups,
        tuple(metrics),
        tuple(seeds),
        {(variant, m): mean_interval(values[m]) for variant, values in judged.items() for m in metrics},
        differences({name: (NONE, f"only {name}") for name in groups} | {ALL: (NONE, ALL)}),
        differences({name: (f"all but {name}", ALL) for name in groups} if last else {}),
    )


def hide(data: ListeningData, fields: Sequence[str]) -> ListeningData:
    """The same plays with some fields of the context unknown throughout."""
    context = data.context.copy()
    context[:, [data.context_fields.column(name) for name in fields]] = UNKNOWN
    return replace(data, context=context)


def hide_asked(hold_out: HoldOut, fields: Sequence[str]) -> HoldOut:
    """The same hold-out whose requests do not say some fields; the month is not told by ``now`` either then."""
    return replace(hold_out, context={**hold_out.context, **{name: [None] * len(hold_out) for name in fields}})


def _ranked(model: Recommender, hold_out: HoldOut) -> Mapping[str, np.ndarray]:
    return evaluate(model, hold_out, intervals=False).per_user


def _mean(runs: list[Mapping[str, np.ndarray]], metrics: Sequence[str]) -> dict[str, np.ndarray]:
    for metric in metrics:
        if metric not in runs[0]:
            raise ValueError(f"metrics: {metric!r} is not judged; there are {', '.join(runs[0])}")
    return {metric: np.mean([run[metric] for run in runs], axis=0) for metric in metrics}
