"""`make bench`: every benchmark, one after the other, into docs/benchmarks.md.

python -m benchmarks [ingest online serving model_server online_path closed_loop stream race activity ...]
"""

from __future__ import annotations

import subprocess
import sys

PARTS = (
    "ingest",
    "online",
    "stream",
    "race",
    "serving",
    "model_server",
    "online_path",
    "closed_loop",
    "activity",
    "cold_start",
    "compression",
)
"""Modules of this package; each prints its part and writes it to the document."""


def main() -> None:
    wanted = sys.argv[1:] or PARTS
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(PARTS)}")
    failed = [name for name in wanted if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode]
    if failed:
        sys.exit(f"did not come to an end: {', '.join(failed)}")


if __name__ == "__main__":
    main()
