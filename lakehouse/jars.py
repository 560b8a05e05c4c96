"""Spark's Delta jars: resolved once from Maven Central into a cache folder, used from there ever after.

``spark.jars.packages`` would ask Ivy at each session start, which costs about 5 s and needs the network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lakehouse.settings import Settings

DELTA = ("io.delta:delta-spark_4.1_2.13:4.4.0",)
S3 = (
    "org.apache.hadoop:hadoop-aws:3.4.2",
    "software.amazon.awssdk:s3:2.29.52",
    "software.amazon.awssdk:s3-transfer-manager:2.29.52",
    "software.amazon.awssdk:apache-client:2.29.52",
    "software.amazon.awssdk:netty-nio-client:2.29.52",
    "software.amazon.awssdk:sts:2.29.52",
)
KAFKA = ("org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.1",)
# Parts that pyspark ships itself, and the 700 MB all-in-one SDK that the slim modules above replace.
EXCLUDES = (
    "software.amazon.awssdk:bundle",
    "org.apache.hadoop:hadoop-client-api",
    "org.apache.hadoop:hadoop-client-runtime",
    "org.wildfly.openssl:wildfly-openssl",
    "org.apache.logging.log4j:log4j-core",
    "org.apache.logging.log4j:log4j-api",
    "org.apache.logging.log4j:log4j-slf4j2-impl",
    "com.github.luben:zstd-jni",
    "org.xerial.snappy:snappy-java",
    "org.roaringbitmap:RoaringBitmap",
    "com.fasterxml.jackson.core:jackson-databind",
)

_RESOLVE = """
import sys
from pyspark.sql import SparkSession
coordinates, excludes, ivy = sys.argv[1:]
(SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
 .config("spark.jars.packages", coordinates).config("spark.jars.excludes", excludes)
 .config("spark.jars.ivy", ivy).getOrCreate().stop())
"""


class JarError(RuntimeError):
    """The Spark jars could not be had."""


def coordinates_for(settings: Settings) -> tuple[str, ...]:
    """Only what the settings need: no S3 jars for a local lake, no Kafka jars without a broker."""
    return DELTA + (() if settings.lake_is_local else S3) + (KAFKA if settings.kafka_servers else ())


def ensure_jars(coordinates: tuple[str, ...], cache: Path) -> list[Path]:
    """-> paths of the jars of ``coordinates``, fetched into ``cache`` if they are not there yet.

    Raises JarError with the resolver's last lines when Maven Central can not be reached.
    """
    name = hashlib.sha256("|".join(coordinates + EXCLUDES).encode()).hexdigest()[:16]
    folder = cache / "jars" / name
    if not folder.exists():
        _fetch(coordinates, folder)
    return sorted(folder.glob("*.jar"))


def _fetch(coordinates: tuple[str, ...], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"Fetching Spark jars once into {folder} …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as ivy:
        result = subprocess.run(
            [sys.executable, "-c", _RESOLVE, ",".join(coordinates), ",".join(EXCLUDES), ivy],
            capture_output=True,
            text=True,
            env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
        )
        jars = sorted((Path(ivy) / "jars").glob("*.jar"))
        if result.returncode or not jars:
            lines = [x for x in (result.stdout + result.stderr).splitlines() if x.strip()]
            interesting = [x for x in lines if "not found" in x or "Exception" in x or "FAILED" in x] or lines
            raise JarError(
                "The Spark jars could not be fetched from Maven Central:\n  "
                + "\n  ".join(interesting[-8:])
                + "\nCheck the network (or an Ivy mirror setting, spark.jars.ivySettings) and run the command again."
            )
        ready = Path(ivy) / "ready"
        ready.mkdir()
        for jar in jars:
            shutil.copy2(jar, ready / jar.name)
        try:
            ready.rename(folder)
        except OSError:  # another process was first
            if not folder.exists():
                raise
