"""Figures of one micro-batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from lakehouse.stream.clock import Clock
from lakehouse.stream.totals import TotalsResult

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class BatchStats:
    """``late``: events behind the watermark; ``newest_record``: when the last of them came in; ``landed``: their
    landing days, in order; ``seconds``: by stage. Times are UTC."""

    batch: int
    records: int = 0
    good: int = 0
    bad: int = 0
    late: int = 0
    newest_record: datetime | None = None
    clock: Clock = field(default_factory=Clock)
    totals: TotalsResult = field(default_factory=TotalsResult)
    landed: tuple[date, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def count(self, good: pa.Table, arrived: pa.ChunkedArray, before: Clock) -> None:
        """Take in good events (occurred_at, landing_date) that ``arrived`` then; the clock stood at ``before``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self.good, self.clock = good.num_rows, before
        if not self.good:
            return
        occurred = good["occurred_at"]
        if before.watermark is not None:
            self.late = pc.sum(pc.less(occurred, pa.scalar(before.watermark, occurred.type))).as_py()
        self.landed = tuple(sorted(pc.unique(good["landing_date"]).to_pylist()))
        known = pc.if_else(pc.less(occurred, arrived), occurred, arrived)
        self.clock = before.advance(pc.max(known).as_py())

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = time.perf_counter() - start
