"""The table of a benchmark run."""

from __future__ import annotations

from dataclasses import dataclass


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


def markdown(rows: list[Row], command: str, machine: str) -> str:
    lines = [
        "# Benchmarks",
        "",
        f"Printed by `{command}` ({machine}); medians of the runs, both sides in one run.",
        "",
        "| what | soundlake | beside | | ratio |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        other = f"{row.other:,.1f} {row.unit}" if row.other is not None else ""
        lines.append(f"| {row.what} | {row.value:,.1f} {row.unit} | {row.compared_with} | {other} | {row.ratio} |")
    return "\n".join(lines) + "\n"
