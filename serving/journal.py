"""What was published when, and why: one line of JSON an act, beside `models.config`, only ever added to."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE = "publications.jsonl"
STAGED, OPENED, PROMOTED, ROLLED_BACK, RETRY = "staged", "canary opened", "promoted", "rolled back", "retry"


@dataclass(frozen=True)
class Act:
    """One act: `version` is what it was about, `other` the version it took the place of or gave way to."""

    at: str
    model: str
    action: str
    version: int
    other: int | None = None
    reason: str = ""


class Journal:
    """The acts of one model in `folder`."""

    def __init__(self, folder: Path, model: str):
        self.path, self.model = Path(folder) / FILE, model

    def note(self, action: str, version: int, other: int | None = None, reason: str = "") -> None:
        """Add an act; it is on the disk when this returns."""
        act = Act(datetime.now(UTC).isoformat(timespec="seconds"), self.model, action, version, other, reason)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.exists() and self.path.read_bytes()[-1:] not in (b"\n", b"")
        with self.path.open("ab") as stream:
            stream.write((b"\n" if torn else b"") + json.dumps(asdict(act)).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def acts(self) -> list[Act]:
        """All acts, oldest first; a line that a kill tore is passed over."""
        found = []
        for line in self.path.read_bytes().splitlines() if self.path.exists() else []:
            try:
                act = Act(**json.loads(line))
            except (ValueError, TypeError):
                continue
            if act.model == self.model:
                found.append(act)
        return found

    def rejected(self, version: int) -> str | None:
        """Why `version` was rolled back, if that was the last that was decided of it."""
        decided = [a for a in self.acts() if a.version == version and a.action in (PROMOTED, ROLLED_BACK, RETRY)]
        return decided[-1].reason if decided and decided[-1].action == ROLLED_BACK else None
