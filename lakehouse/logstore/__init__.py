"""Delta's log on S3 and on local disk for several drivers at once: two small Java classes and their options.

Delta's default stores are safe within one JVM only: with two drivers a commit that both report can be lost. The classes
are in ``src``; ``soundlake-logstore.jar`` is what ``python -m lakehouse.logstore`` makes of them.
"""

from __future__ import annotations

from pathlib import Path

JAR = Path(__file__).parent / "soundlake-logstore.jar"
SOURCES = Path(__file__).parent / "src"

SPARK_OPTIONS = {
    "spark.delta.logStore.s3a.impl": "io.soundlake.logstore.ConditionalLogStore",
    "spark.delta.logStore.file.impl": "io.soundlake.logstore.LinkLogStore",
}
"""Delta takes these from the Spark configuration when the session starts."""
