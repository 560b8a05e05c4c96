"""What an import did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass
class ImportSummary:
    """Counts of one import. Dates are landing dates (UTC date of ``received_at``)."""

    source: str
    files_written: int = 0
    files_skipped: int = 0  # already there under the same content hash
    events: int = 0
    entities: dict[str, int] = field(default_factory=dict)
    first_date: date | None = None
    last_date: date | None = None
    unusable: dict[str, int] = field(default_factory=dict)  # reason -> rows
    examples: dict[str, str] = field(default_factory=dict)  # reason -> "file:line" of its first row
    rejected_files: list[str] = field(default_factory=list)  # relative to the lake

    @property
    def unusable_rows(self) -> int:
        return sum(self.unusable.values())

    def saw(self, landed: date) -> None:
        """Widen the range of landing dates."""
        self.first_date = landed if self.first_date is None else min(self.first_date, landed)
        self.last_date = landed if self.last_date is None else max(self.last_date, landed)

    def reject(self, reason: str, where: str) -> None:
        self.unusable[reason] = self.unusable.get(reason, 0) + 1
        self.examples.setdefault(reason, where)

    def lines(self) -> list[str]:
        """The summary for people, one statement a line."""
        span = f", landing {self.first_date} to {self.last_date}" if self.first_date else ""
        text = [f"{self.source}: {self.events:,} events{span}"]
        text += [f"  {count:,} {entity}" for entity, count in sorted(self.entities.items())]
        text.append(f"  {self.files_written:,} files written, {self.files_skipped:,} already there")
        for reason, count in sorted(self.unusable.items(), key=lambda item: -item[1]):
            text.append(f"  {count:,} rows unusable: {reason} (first: {self.examples[reason]})")
        text += [f"  rejected rows are kept in {path}" for path in self.rejected_files]
        return text
