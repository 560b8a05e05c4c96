"""Versions of one model side by side: size, latency, quality with its interval, and which of them is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.compress.latency import Latency
from models.evaluation.bootstrap import Difference, paired_interval

TOLERANCE = 0.005
"""Share of the reference's NDCG@10 that the chosen version may lose."""
TOP = 10


@dataclass(frozen=True)
class Judged:
    """Held-out moments. inputs: name -> array [Q, ...], what the models are asked, a moment a row; relevant, there:
    bool [Q, C], the right candidates and those that are there; users: [Q], whose moment it is."""

    inputs: Mapping[str, np.ndarray]
    relevant: np.ndarray
    there: np.ndarray
    users: np.ndarray

    def __len__(self) -> int:
        return len(self.relevant)

    def moment(self, at: int) -> dict[str, np.ndarray]:
        """What is asked at one moment."""
        return {name: values[at] for name, values in self.inputs.items()}

    def ndcg(self, scores: np.ndarray) -> np.ndarray:
        """float64 [users]: NDCG@10 of scores float [Q, C], the mean of each user's moments, users in ascending order.
        A moment whose track is not among the candidates counts 0. Equal scores, of which int8 has many, come in an
        order drawn once: the candidates' own is that of the first stage, which would lend them its opinion.
        """
        drawn = np.random.default_rng(0).permutation(scores.shape[1])
        values = np.where(self.there, scores, -np.inf)[:, drawn]
        order = drawn[np.argsort(-values, 1, kind="stable")[:, :TOP]]
        gain = 1 / np.log2(2 + np.arange(order.shape[1]))
        found = np.take_along_axis(self.relevant & self.there, order, 1) @ gain
        best = np.concatenate([[1.0], np.cumsum(gain)])[np.minimum(self.relevant.sum(1), order.shape[1])]
        if self.relevant.sum(1).max() > 1:
            found = found / np.where(best > 0, best, 1.0)
        _, row = np.unique(self.users, return_inverse=True)
        return np.bincount(row, found) / np.bincount(row)


class Agreement(NamedTuple):
    """largest, mean: absolute difference of the scores; correlation: of the ranks (Spearman), mean over the moments;
    top: share of the ten best that both have."""

    largest: float
    mean: float
    correlation: float
    top: float

    @classmethod
    def of(cls, one: np.ndarray, other: np.ndarray, there: np.ndarray) -> Agreement:
        """Of scores float [Q, C] of the candidates that are there."""
        apart = np.abs(one - other)[there]
        correlations, shared = [], []
        for a, b, known in zip(one, other, there, strict=True):
            a, b = a[known], b[known]
            if len(a) < 2:
                continue
            ranks = [np.argsort(np.argsort(-x, kind="stable")) for x in (a, b)]
            spread = np.std(ranks[0]) * np.std(ranks[1])
            correlations.append(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / spread)
            n = min(TOP, len(a))
            shared.append(np.sum((ranks[0] < n) & (ranks[1] < n)) / n)
        return cls(float(apart.max()), float(apart.mean()), float(np.mean(correlations)), float(np.mean(shared)))


@dataclass(frozen=True)
class Version:
    """One form of the model. name; of: the version it was converted from (the reference's own is its name); path: a
    SavedModel folder or a LiteRT file; scores: float32 [Q, C] at the judged moments; note: what was done."""

    name: str
    of: str
    path: Path
    scores: np.ndarray
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """What one version costs. stored, gzip: bytes; agreement: with what it was converted from, and with_reference;
    loss: NDCG@10 less the reference's, paired over users."""

    version: Version
    stored: int
    gzip: int
    latency: Latency
    ndcg: float
    loss: Difference
    agreement: Agreement
    with_reference: Agreement

    def relative(self, reference: float) -> tuple[float, float, float]:
        """The loss and its interval as shares of the reference's NDCG@10."""
        scale = reference or 1.0
        return self.loss.value / scale, self.loss.lo / scale, self.loss.hi / scale


@dataclass(frozen=True)
class Choice:
    """name: the chosen version, the reference's where no other one passes; reason: in words."""

    name: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """All versions of ``model``, the reference first."""

    model: str
    measured: Sequence[Measured]
    candidates: int
    users: int

    @property
    def reference(self) -> Measured:
        return self.measured[0]

    def of(self, name: str) -> Measured:
        """Raises KeyError with the names there are."""
        found = {each.version.name: each for each in self.measured}
        if name not in found:
            raise KeyError(f"version {name!r} is none of {', '.join(found)}")
        return found[name]

    @property
    def choice(self) -> Choice:
        return choose(self.measured)

    @property
    def chosen(self) -> Measured:
        return self.of(self.choice.name)

    def metrics(self) -> dict[str, float]:
        """As logged: ``<version>.<figure>``."""
        out = {}
        for each in self.measured:
            share, low, high = each.relative(self.reference.ndcg)
            values = {
                "stored_bytes": each.stored, "gzip_bytes": each.gzip, "median_ms": each.latency.median,
                "p99_ms": each.latency.p99, "ndcg_at_10": each.ndcg, "relative_loss": share,
                "relative_loss_lo": low, "relative_loss_hi": high, "top_10_overlap": each.with_reference.top,
            }  # fmt: skip
            out |= {
                f"{each.version.name.replace(',', '').replace(' ', '_')}.{name}": float(value)
                for name, value in values.items()
            }
        return out


def measure(
    versions: Sequence[Version], judged: Judged, latency: Mapping[str, Latency], model: str = "ranker"
) -> Comparison:
    """``versions``: the reference first; ``latency`` by name."""
    from models.compress.pruning import gzip_bytes, stored_bytes

    by_name = {version.name: version for version in versions}
    best = judged.ndcg(versions[0].scores)
    out = []
    for version in versions:
        quality = judged.ndcg(version.scores)
        out.append(
            Measured(
                version,
                stored_bytes(version.path),
                gzip_bytes(version.path),
                latency[version.name],
                float(quality.mean()),
                paired_interval(best, quality),
                Agreement.of(by_name[version.of].scores, version.scores, judged.there),
                Agreement.of(versions[0].scores, version.scores, judged.there),
            )  # fmt: skip
        )
    return Comparison(model, out, judged.there.shape[1], len(best))


def choose(measured: Sequence[Measured], tolerance: float = TOLERANCE) -> Choice:
    """The smallest version (bytes stored) whose NDCG@10 is at most ``tolerance`` of the reference's below it, by the
    point estimate; the reason says what the interval allows. The reference where there is none."""
    reference = measured[0]
    passed = [m for m in measured if m.relative(reference.ndcg)[0] >= -tolerance]
    best = min(passed, key=lambda m: (m.stored, m.latency.median))
    share, low, high = best.relative(reference.ndcg)
    if best is reference:
        return Choice(best.version.name, f"no smaller version is within {tolerance:.1%} of its NDCG@10; it stays")
    certain = (
        "the interval leaves no more than that, too" if low >= -tolerance
        else f"the interval allows a loss of up to {-low:.1%}, so the hold-out cannot rule more out"
    )  # fmt: skip
    return Choice(
        best.version.name,
        f"the smallest of {len(passed)} versions within {tolerance:.1%} of the reference: "
        f"{reference.stored / best.stored:.1f} times smaller, "
        f"{reference.latency.median / best.latency.median:.1f} times faster, NDCG@10 {share:+.2%} "
        f"[{low:+.2%}, {high:+.2%}]; {certain}",
    )
