"""What the API counted of each label's answers: read off its Prometheus page, added up over restarts.

Counters start again at 0 when the API does; an increase is counted as Prometheus counts it (what is lower than before
has begun again), so a trial survives restarts and loses at most what came between a look and a stop.
"""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_MODEL, _SCORES, _REQUESTS = "soundlake_model_seconds", "soundlake_scores", "soundlake_requests"


@dataclass(frozen=True)
class Histogram:
    """Counts [B + 1] of values up to each of the B bounds, and beyond the last; not cumulative."""

    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = (0.0,)

    @property
    def total(self) -> float:
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """The q-quantile, linear within a bin; the last bound where it lies beyond."""
        if not self.total or not self.bounds:
            return float("nan")
        wanted, passed = q * self.total, 0.0
        for place, bound in enumerate(self.bounds):
            count = self.counts[place]
            if count and passed + count >= wanted:
                low = self.bounds[place - 1] if place else min(0.0, bound)
                return low + (bound - low) * (wanted - passed) / count
            passed += count
        return self.bounds[-1]

    def since(self, before: Histogram) -> Histogram:
        """What was added to `before`; all of it where the counters began again or have other bounds."""
        if before.bounds != self.bounds or before.total > self.total:
            return self
        return Histogram(self.bounds, tuple(max(n - o, 0.0) for n, o in zip(self.counts, before.counts, strict=True)))

    def plus(self, other: Histogram) -> Histogram:
        """Both together; the bounds are those of the later, `other`, where they differ."""
        if self.bounds != other.bounds:
            return other
        return Histogram(self.bounds, tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))


@dataclass(frozen=True)
class Traffic:
    """One label's answers: the seconds of each time the model was asked, the top score of each list that it gave, and
    requests that failed altogether (status 500 and above)."""

    latency: Histogram = field(default_factory=Histogram)
    scores: Histogram = field(default_factory=Histogram)
    failed: float = 0.0

    @property
    def requests(self) -> float:
        return self.latency.total

    @property
    def errors(self) -> float:
        """Times that the model was asked and gave no list, and failed requests."""
        return max(self.latency.total - self.scores.total, 0.0) + self.failed

    def since(self, before: Traffic) -> Traffic:
        failed = self.failed - before.failed if self.failed >= before.failed else self.failed
        return Traffic(self.latency.since(before.latency), self.scores.since(before.scores), failed)

    def plus(self, other: Traffic) -> Traffic:
        return Traffic(self.latency.plus(other.latency), self.scores.plus(other.scores), self.failed + other.failed)

    def to_json(self) -> dict[str, Any]:
        parts = {"latency": self.latency, "scores": self.scores}
        return {
            "failed": self.failed,
            **{name: {"bounds": list(h.bounds), "counts": list(h.counts)} for name, h in parts.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Traffic:
        parts = {
            name: Histogram(tuple(content[name]["bounds"]), tuple(content[name]["counts"]))
            for name in ("latency", "scores")
        }
        return cls(**parts, failed=content["failed"])


ByLabel = dict[str, Traffic]


def read_traffic(page: str) -> ByLabel:
    """Label -> its traffic, of the text of a Prometheus page."""
    from prometheus_client.parser import text_string_to_metric_families

    buckets: dict[str, dict[str, dict[float, float]]] = {_MODEL: {}, _SCORES: {}}
    failed: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            label = sample.labels.get("label", "")
            for name in (_MODEL, _SCORES):
                if label and sample.name == f"{name}_bucket":
                    buckets[name].setdefault(label, {})[float(sample.labels["le"])] = sample.value
            if sample.name == f"{_REQUESTS}_total" and sample.labels.get("status", "").startswith("5"):
                failed[label] = failed.get(label, 0.0) + sample.value
    labels = {*buckets[_MODEL], *buckets[_SCORES]}
    return {
        label: Traffic(
            _histogram(buckets[_MODEL].get(label, {})),
            _histogram(buckets[_SCORES].get(label, {})),
            failed.get(label, 0),
        )
        for label in sorted(labels)
    }


def _histogram(cumulative: Mapping[float, float]) -> Histogram:
    ordered = sorted(cumulative.items())
    if not ordered:
        return Histogram()
    counts = np.diff([0.0, *(count for _, count in ordered)])
    return Histogram(tuple(bound for bound, _ in ordered[:-1]), tuple(counts.tolist()))


def scrape(address: str, timeout_s: float = 3.0) -> ByLabel | None:
    """What the API at `address` (http://host:port) has counted; None where no API answers."""
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/metrics", timeout=timeout_s) as answer:
            page = answer.read().decode()
    except (OSError, http.client.HTTPException, ValueError):  # URLError is an OSError
        return None
    return read_traffic(page) if _REQUESTS in page or _MODEL in page else None


def since(now: ByLabel, before: ByLabel) -> ByLabel:
    """What each label's counters grew by."""
    return {label: one.since(before.get(label, Traffic())) for label, one in now.items()}


def plus(one: ByLabel, other: ByLabel) -> ByLabel:
    """Both together, label by label."""
    return {
        label: one.get(label, Traffic()).plus(other.get(label, Traffic())) if label in other else one[label]
        for label in {*one, *other}
    }
