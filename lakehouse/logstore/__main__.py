"""``python -m lakehouse.logstore``: compile the Java sources and write the jar, the same bytes every time."""

from __future__ import annotations

import sys

from lakehouse.logstore import JAR
from lakehouse.logstore.build import BuildError, build
from lakehouse.settings import get_settings

try:
    build(JAR, get_settings().cache_dir)
except BuildError as error:
    sys.exit(f"soundlake: {error}")
print(f"{JAR} ({JAR.stat().st_size:,} bytes)")
