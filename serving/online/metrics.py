"""What the API counts, in Prometheus's format at /metrics. Each app has a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1)
_SCORES = (-8, -4, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20)


class Metrics:
    """Counters and histograms of one app; ``render`` is the page."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("soundlake_requests", "Requests", ("route", "status", "label"), registry=registry)
        self.stages = Histogram(
            "soundlake_stage_seconds", "Seconds of a stage", ("stage",), registry=registry, buckets=_SECONDS
        )
        self.degraded = Counter("soundlake_degraded", "Answers without the model", ("cause",), registry=registry)
        self.cached = Counter("soundlake_cached", "Answers that were made seconds before", registry=registry)
        self.model = Histogram(
            "soundlake_model_seconds", "Seconds of the model's answer", ("label",), registry=registry, buckets=_SECONDS
        )
        self.scores = Histogram(
            "soundlake_scores", "Score of the first track", ("label",), registry=registry, buckets=_SCORES
        )
        self.events = Counter("soundlake_events", "Events taken or refused", ("outcome",), registry=registry)
        self.shown = Counter("soundlake_shown", "Shown lists logged, or dropped", ("outcome",), registry=registry)

    def render(self) -> bytes:
        return generate_latest(self.registry)
