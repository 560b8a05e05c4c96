"""Results of checks, kept beside Dagster's own: one file a check, the last run's, and the pages made of them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.settings import Settings

_PAGES_KEPT = 30


@dataclass(frozen=True)
class Result:
    """The last outcome of one check.

    ``counts`` is title -> name -> count, ``series`` is name -> [[ISO day, value], ...] for the page's trends.
    """

    table: str
    check: str
    passed: bool
    blocking: bool
    text: str
    run_id: str = ""
    days: str = ""
    failures: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    series: dict[str, list[list[Any]]] = field(default_factory=dict)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def folder(settings: Settings) -> Path:
    return settings.state_dir / "quality"


def record(settings: Settings, results: list[Result]) -> Path:
    """Keep ``results`` and make the page anew; -> the page with the stable name.

    The page of a run (``run-<id>.html``) holds the state of all checks at the end of that run.
    """
    from lakehouse.quality.page import render

    place = folder(settings)
    (place / "results").mkdir(parents=True, exist_ok=True)
    for result in results:
        name = re.sub(r"[^a-z0-9_.]", "_", f"{result.table}-{result.check}.json")
        _write(place / "results" / name, json.dumps(asdict(result), default=str))
    html = render(load(settings), settings.lake)
    runs = {result.run_id for result in results if result.run_id}
    for run_id in runs:
        _write(place / f"run-{run_id}.html", html)
    _write(place / "index.html", html)
    old = sorted(place.glob("run-*.html"), key=lambda path: path.stat().st_mtime)[:-_PAGES_KEPT]
    for path in old:
        path.unlink(missing_ok=True)
    return place / "index.html"


def load(settings: Settings) -> list[Result]:
    """The last result of every check, by table and check."""
    found = sorted((folder(settings) / "results").glob("*.json"))
    return [Result(**json.loads(path.read_text())) for path in found]


def newest_page(settings: Settings) -> Path | None:
    page = folder(settings) / "index.html"
    return page if page.exists() else None


def _write(path: Path, text: str) -> None:
    """Whole or not at all: another run may read it, or write it, at the same time."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
