"""`make bench`: ingest beside plain Spark, an answer over the wire beside the model in process."""

from __future__ import annotations

import argparse
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.ingest import measure_ingest
from benchmarks.report import Row, markdown
from benchmarks.serving import measure_serving
from orchestration.home import prepare

OUT = Path("docs/benchmarks.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--users", type=int, default=1000, help="size of the simulated world that is ingested")
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--runs", type=int, default=3, help="runs of each side; medians are printed")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    from lakehouse.settings import get_settings

    prepare(get_settings())
    rows: list[Row] = [
        *measure_ingest(arguments.users, arguments.days, arguments.runs),
        *measure_serving(arguments.requests),
    ]
    command = f"python -m benchmarks --users {arguments.users} --days {arguments.days} --runs {arguments.runs}"
    text = markdown(rows, command, f"{os.cpu_count()} cores, {platform.machine()}, {datetime.now(UTC):%Y-%m-%d}")
    arguments.out.write_text(text)
    print(text)
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
