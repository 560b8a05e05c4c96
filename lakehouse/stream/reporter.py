"""From what a micro-batch counted and what Spark says of the query to one ``Progress`` a batch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.settings import Settings
from lakehouse.stream.progress import Progress, ProgressFiles, now_text
from lakehouse.stream.stats import BatchStats

if TYPE_CHECKING:
    from pyspark.sql.streaming import StreamingQuery


class Reporter:
    """Gathers figures of one run of a stream, writes them down and hands them on."""

    def __init__(self, settings: Settings, stream: str, on_progress: Callable[[Progress], None]):
        self._files, self._on_progress = ProgressFiles(settings, stream), on_progress
        self._done: dict[int, BatchStats] = {}
        self._last = Progress(stream, "starting", now_text(), os.getpid())

    def begin(self, query: StreamingQuery) -> None:
        self._done.clear()

    def batch_done(self, stats: BatchStats) -> None:
        """Called by the stream's own thread when a micro-batch is written."""
        self._done[stats.batch] = stats

    def look(self, query: StreamingQuery) -> bool:
        """Report every batch that Spark has ended since the last look; -> has this query reached its source at all?"""
        entries = _recent(query)
        for entry in entries:
            stats = self._done.pop(entry["batchId"], None)
            if stats is not None:
                self._report(self._progress(stats, entry))
        if entries and self._last.state in ("starting", "waiting"):
            self.state("running", "connected, nothing new")
        return bool(entries)

    def state(self, state: str, message: str = "") -> Progress:
        """Report that the stream waits, goes on, has stopped or failed."""
        self._report(replace(self._last, state=state, message=message, at=now_text()))
        return self._last

    def _progress(self, stats: BatchStats, entry: dict[str, Any]) -> Progress:
        seconds = entry["durationMs"].get("triggerExecution", 0) / 1000
        behind = _behind(entry)
        newest = stats.newest_record
        waited = (datetime.now(UTC) - newest).total_seconds() if behind and newest else 0.0
        clock, last = stats.clock, self._last
        return replace(
            last,
            state="running",
            message="",
            at=now_text(),
            batch=stats.batch,
            records=stats.records,
            bad=stats.bad,
            late=stats.late,
            rate=round(stats.records / seconds, 1) if seconds else 0.0,
            batch_seconds=round(seconds, 3),
            behind_records=behind,
            behind_seconds=round(waited, 1),
            clock=clock.at.isoformat() if clock.at else None,
            watermark=clock.watermark.isoformat() if clock.watermark else None,
            active_listeners=stats.totals.active,
            ended_sessions=stats.totals.ended,
            online_rows=stats.totals.rows,
            online_waiting=stats.totals.waiting,
            total_records=last.total_records + stats.records,
            total_bad=last.total_bad + stats.bad,
            total_late=last.total_late + stats.late,
            seconds={stage: round(value, 3) for stage, value in stats.seconds.items()},
            landed=tuple(day.isoformat() for day in stats.landed),
        )

    def _report(self, progress: Progress) -> None:
        self._last = progress
        self._files.write(progress)
        self._on_progress(progress)


def _recent(query: StreamingQuery) -> list[dict[str, Any]]:
    return [json.loads(entry.json) for entry in query.recentProgress]


def _behind(entry: dict[str, Any]) -> int:
    """Records that the broker had when the batch began and that it did not take."""
    behind = 0
    for source in entry["sources"]:
        latest, end = _offsets(source.get("latestOffset")), _offsets(source.get("endOffset"))
        for topic, partitions in latest.items():
            behind += sum(max(0, offset - end.get(topic, {}).get(p, 0)) for p, offset in partitions.items())
    return behind


def _offsets(value: Any) -> dict[str, dict[str, int]]:
    """topic -> partition -> offset; nothing for a source that counts otherwise."""
    if isinstance(value, str):
        value = json.loads(value) if value.startswith("{") else {}
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        return {}
    return value
