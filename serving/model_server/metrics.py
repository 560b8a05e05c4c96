"""Request counts and latencies in the Prometheus text format, under TensorFlow Serving's names."""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict

# Exponential buckets as TensorFlow Serving's: 10 µs * 1.8^i (the last one is about 20 minutes).
BUCKETS_US = [10 * 1.8**i for i in range(33)]
_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"


def _quote(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_quote(value)}"' for name, value in labels.items()) + "}"


class Metrics:
    """Counts by model and status, latency histograms (µs) by model, API and entry point."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = defaultdict(int)
        self._buckets: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0] * (len(BUCKETS_US) + 1))
        self._sums: dict[tuple[str, str, str], float] = defaultdict(float)

    def record(self, model: str, api: str, entrypoint: str, status: str, seconds: float) -> None:
        """Note one answered request; only answers with status OK go into the latency histogram."""
        with self._lock:
            self._counts[model, status] += 1
            if status == "OK":
                key = (model, api, entrypoint)
                self._buckets[key][bisect.bisect_left(BUCKETS_US, seconds * 1e6)] += 1
                self._sums[key] += seconds * 1e6

    def render(self) -> str:
        """The page a Prometheus server scrapes."""
        lines = [f"# TYPE {_COUNT} counter"]
        with self._lock:
            for (model, status), count in sorted(self._counts.items()):
                lines.append(f"{_COUNT}{_labels(model_name=model, status=status)} {count}")
            lines.append(f"# TYPE {_LATENCY} histogram")
            for key, buckets in sorted(self._buckets.items()):
                lines += self._render_histogram(key, buckets)
        return "\n".join(lines) + "\n"

    def _render_histogram(self, key: tuple[str, str, str], buckets: list[int]) -> list[str]:
        model, api, entrypoint = key
        names = {"model_name": model, "API": api, "entrypoint": entrypoint}
        lines, total = [], 0
        for bound, count in zip([f"{bound:g}" for bound in BUCKETS_US] + ["+Inf"], buckets, strict=True):
            total += count
            lines.append(f"{_LATENCY}_bucket{_labels(**names, le=bound)} {total}")
        lines.append(f"{_LATENCY}_sum{_labels(**names)} {self._sums[key]:.0f}")
        lines.append(f"{_LATENCY}_count{_labels(**names)} {total}")
        return lines
