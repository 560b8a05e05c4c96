"""Native data sets in, raw zone out: ``import_source("lastfm1k", folder, "lake")``.

Each source is one module with one class (see ``base.Source``). A module is imported when its source is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from lakehouse.sources.base import BROKEN_GZIP, Record, Rejected, Source, SourceError
from lakehouse.sources.raw import RawWriter
from lakehouse.sources.summary import ImportSummary

__all__ = [
    "SOURCES",
    "ImportSummary",
    "RawWriter",
    "Record",
    "Rejected",
    "Source",
    "SourceError",
    "get_source",
    "import_source",
    "source_options",
]

SOURCES: dict[str, str] = {  # name -> "module:Class"
    "eventsim": "lakehouse.sources.eventsim:Eventsim",
    "generic": "lakehouse.sources.generic:Generic",
    "lastfm1k": "lakehouse.sources.lastfm1k:Lastfm1k",
    "sequences": "lakehouse.sources.sequences:Sequences",
}
PROGRESS_EVERY = 100_000


def get_source(name: str) -> Source:
    """The source called ``name``; raises SourceError that lists the names and the closest ones."""
    if name not in SOURCES:
        close = difflib.get_close_matches(name, SOURCES, n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise SourceError(f"no source is called {name!r}{hint} There are: {', '.join(sorted(SOURCES))}")
    module, _, cls = SOURCES[name].partition(":")
    return getattr(importlib.import_module(module), cls)()


def source_options(source: Source) -> dict[str, inspect.Parameter]:
    """The options ``source.read`` takes, by name."""
    parameters = inspect.signature(source.read).parameters
    return {name: value for name, value in parameters.items() if value.kind is inspect.Parameter.KEYWORD_ONLY}


def import_source(
    name: str,
    path: str | Path,
    lake: str | Path,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> ImportSummary:
    """Read native data at ``path`` with source ``name`` and write it to the raw zone of ``lake``.

    ``options`` go to the source; the option ``as_of`` (ISO date) dates the catalogue dump and fits every source.
    ``progress`` is called with one line of text now and then. Doing it again writes nothing new.
    Raises SourceError for an unknown source or option, a missing path, or data that is not of this kind.
    """
    source, path = get_source(name), Path(path)
    given = dict(options or {})
    as_of = _as_of(given.pop("as_of", None))
    _check_options(source, given)
    if not path.exists():
        raise SourceError(f"{path} does not exist; source {name} reads {source.description}")
    with RawWriter(lake, name, as_of=as_of) as writer:
        try:
            for count, record in enumerate(source.read(path, **given), 1):
                writer.write(record)
                if progress is not None and count % PROGRESS_EVERY == 0:
                    progress(f"{name}: {count:,} records read")
        except BROKEN_GZIP as error:
            raise SourceError(f"{path}: broken gzip ({error}); check the download with `gzip -t`") from error
    if not writer.summary.events and not writer.summary.entities:
        raise SourceError(f"{path} gave no event and no catalogue row: {_why(writer.summary, source)}")
    if progress is not None:
        for line in writer.summary.lines():
            progress(line)
    return writer.summary


def _check_options(source: Source, given: Mapping[str, Any]) -> None:
    known = source_options(source)
    for option in given:
        if option not in known:
            raise SourceError(
                f"source {source.name} has no option {option!r}; it takes: {', '.join([*known, 'as_of'])}"
            )
    for option, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and option not in given:
            raise SourceError(f"source {source.name} needs the option {option!r}")


def _as_of(text: str | date | None) -> date | None:
    if text is None or isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SourceError(f"option as_of={text!r} is no date: write it as 2026-01-31") from None


def _why(summary: ImportSummary, source: Source) -> str:
    if summary.unusable:
        reason = max(summary.unusable, key=summary.unusable.__getitem__)
        return f"{summary.unusable_rows:,} rows are unusable, mostly: {reason} (first: {summary.examples[reason]})"
    return f"it is empty, or not what source {source.name} reads: {source.description}"
