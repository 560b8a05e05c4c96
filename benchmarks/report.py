"""The table of a benchmark run, printed and kept in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

OUT = Path("docs/benchmarks.md")
_HEAD = (
    "# Benchmarks\n\nEach part is printed by the command above it: medians of the runs, all sides in one run on one "
    "machine. `make bench` runs them all.\n"
)


@dataclass(frozen=True)
class Row:
    """``value`` of ours beside ``other`` of what it is compared with; ratio = value / other."""

    what: str
    unit: str
    value: float
    compared_with: str = ""
    other: float | None = None

    @property
    def ratio(self) -> str:
        return f"{self.value / self.other:.2f}×" if self.other else ""


def markdown(rows: list[Row]) -> str:
    lines = ["| what | soundlake | beside | | ratio |", "|---|---|---|---|---|"]
    for row in rows:
        other = f"{row.other:,.1f} {row.unit}" if row.other is not None else ""
        lines.append(f"| {row.what} | {row.value:,.1f} {row.unit} | {row.compared_with} | {other} | {row.ratio} |")
    return "\n".join(lines)


def write_section(title: str, rows: list[Row], command: str, note: str = "", out: Path = OUT) -> None:
    """Print the table of ``rows`` and put it in place of the part ``title`` of ``out``."""
    write_part(title, markdown(rows) + (f"\n\n{note}" if note else ""), command, out)


def write_part(title: str, text: str, command: str, out: Path = OUT) -> None:
    """As ``write_section``, for a text that is ready."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {datetime.now(UTC):%Y-%m-%d}"
    body = f"## {title}\n\n`{command}` ({machine})\n\n{text.strip()}\n"
    print(body)
    whole = out.read_text() if out.exists() else _HEAD
    part = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if part.search(whole):
        whole = part.sub(lambda _: body + "\n", whole)
    else:
        whole = whole.rstrip() + "\n\n" + body
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(whole.rstrip() + "\n")
    print(f"written to {out}")
