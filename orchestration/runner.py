"""Run a named job in this process, with a line of progress for every asset."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from rich.markup import escape

from orchestration.dead_runs import process_tags

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterInstance, Definitions
    from rich.console import Console

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass
class RunReport:
    """What a run did. ``failed_steps``: step -> first line of its error."""

    run_id: str
    job: str
    success: bool
    seconds: float
    checks_passed: int = 0
    checks_failed: dict[str, str] = field(default_factory=dict)
    failed_steps: dict[str, str] = field(default_factory=dict)


class _Progress:
    """Prints one line when an asset is made, a check fails or a step breaks."""

    def __init__(self, console: Console, report: RunReport):
        self._console, self._report = console, report
        self._started: dict[str, float] = {}
        self._seen: set[str] = set()

    def __call__(self, entry) -> None:
        event = entry.dagster_event
        if event is None:  # what an asset logs of its own progress
            if entry.level >= logging.INFO:
                self._console.print(f"    [dim]{escape(entry.user_message)}[/]", soft_wrap=True)
            return
        kind = event.event_type_value
        if kind == "STEP_START":
            self._started[event.step_key] = time.monotonic()
        elif kind == "ASSET_MATERIALIZATION":
            self._materialized(event)
        elif kind == "ASSET_CHECK_EVALUATION":
            self._check(event.asset_check_evaluation_data)
        elif kind == "STEP_UP_FOR_RETRY":
            self._console.print(f"  [yellow]↻[/] {event.step_key} failed and is tried again")
        elif kind == "STEP_FAILURE":
            text = _innermost(event.step_failure_data.error)
            self._report.failed_steps[event.step_key] = text
            self._console.print(f"  [red]✗[/] {event.step_key}: {escape(text)}", soft_wrap=True)

    def _materialized(self, event) -> None:
        materialization = event.step_materialization_data.materialization
        key = materialization.asset_key.to_user_string()
        if key in self._seen:  # one event a partition
            return
        self._seen.add(key)
        metadata = materialization.metadata
        rows = metadata.get("dagster/row_count")
        summary = metadata.get("summary")
        text = f"{rows.value:,} rows" if rows is not None else (summary.value if summary is not None else "")
        seconds = time.monotonic() - self._started.get(event.step_key, time.monotonic())
        self._console.print(f"  [green]✓[/] {key:<26} {text:<60} {seconds:6.1f} s", soft_wrap=True)

    def _check(self, check) -> None:
        if check.partition:  # the same result, once for each day of the run
            return
        if check.passed:
            self._report.checks_passed += 1
            return
        name = f"{check.asset_key.to_user_string()}: {check.check_name}"
        self._report.checks_failed[name] = check.description or ""
        self._console.print(f"  [yellow]![/] check {name} failed: {escape(check.description or '')}", soft_wrap=True)


def _innermost(error) -> str:
    while error.cause is not None:
        error = error.cause
    return error.message.strip().splitlines()[0] if error.message.strip() else error.cls_name


def run_job(
    defs: Definitions,
    name: str,
    instance: DagsterInstance,
    console: Console,
    days: tuple[date, date] | None = None,
    assets: Sequence[AssetKey] | None = None,
) -> RunReport:
    """Execute job ``name`` (or only ``assets`` of it) for ``days``; never raises for a failed step."""
    run_id = str(uuid.uuid4())
    report = RunReport(run_id, name, success=False, seconds=0.0)
    instance.add_event_listener(run_id, _Progress(console, report))
    start = time.monotonic()
    tags = {RANGE_START: days[0].isoformat(), RANGE_END: days[1].isoformat()} if days else {}
    result = defs.resolve_job_def(name).execute_in_process(
        instance=instance,
        run_id=run_id,
        tags={"soundlake/command": "run", **process_tags(), **tags},
        asset_selection=list(assets) if assets is not None else None,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    report.success, report.seconds = result.success, time.monotonic() - start
    return report
