"""The one Spark session of a process: Delta on, jars from the cache, quiet, bounded memory."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import logstore
from lakehouse.jars import JarError, coordinates_for, ensure_jars
from lakehouse.settings import Settings, get_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA_VERSIONS = (17, 21)
_INSTALL = "install it with: apt-get install openjdk-17-jre-headless (Debian/Ubuntu) or brew install openjdk@17 (macOS)"


class JavaError(RuntimeError):
    """No Java that Spark 4.1 runs on."""


def check_java() -> int:
    """-> major version of the Java that Spark will use; raises JavaError with the install command."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    if not java or not os.path.exists(java):
        raise JavaError(f"Java 17 or 21 is needed and none was found (JAVA_HOME, PATH); {_INSTALL}")
    text = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    match = re.search(r'version "(\d+)', text)
    version = int(match.group(1)) if match else 0
    if version not in JAVA_VERSIONS:
        raise JavaError(f"Java 17 or 21 is needed; {java} is version {version or text.strip()!r}; {_INSTALL}")
    return version


def get_spark(settings: Settings | None = None, coordinates: tuple[str, ...] | None = None) -> SparkSession:
    """The process-wide session. Settings count at the first call only, as Spark has one session per process; the way to
    S3 counts at every call. ``coordinates``: jars of a new session, instead of those that the settings need.
    """
    settings = settings or get_settings()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        configure_s3(active, settings)
        return active
    check_java()
    builder = SparkSession.builder.appName("soundlake").master(settings.spark_master)
    for key, value in _options(settings, coordinates or coordinates_for(settings)).items():
        builder = builder.config(key, value)
    with _stderr_to(settings.state_dir / "logs" / "spark.log"), _interrupts_kept():
        spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")  # errors arrive as Python exceptions; the log would say them twice
    return spark


def configure_s3(spark: SparkSession, settings: Settings) -> None:
    """Tell a running session how to reach the bucket of ``settings``; nothing to do for a local lake.

    Raises JarError if the session was started without the jars for S3.
    """
    if settings.lake_is_local:
        return
    if "hadoop-aws" not in spark.conf.get("spark.jars", ""):
        raise JarError(
            f"{settings.lake}: this process has a Spark session for local lakes, without the jars for S3. Run the "
            "command for one lake in a process of its own, or start the session with lakehouse.jars.S3"
        )
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    for key, value in settings.s3.hadoop_options(settings.bucket).items():
        hadoop.set(key, value)


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """PySpark takes SIGINT for itself, to cancel jobs; a command that wants to end in order has its own handler."""
    before = signal.getsignal(signal.SIGINT)
    yield
    if before not in (None, signal.default_int_handler, signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, before)


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """What the JVM says on its way up (and later) belongs in a log: it inherits this process's stderr at its start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with path.open("ab") as log:
            os.dup2(log.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _options(settings: Settings, coordinates: tuple[str, ...]) -> dict[str, str]:
    jars = [*ensure_jars(coordinates, settings.cache_dir), logstore.JAR]
    options = {
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        **logstore.SPARK_OPTIONS,
        "spark.driver.memory": settings.spark_memory,
        "spark.sql.shuffle.partitions": str(settings.spark_shuffle_partitions),
        # the default of 50 dominates small local commits
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # the write path caches nothing bigger than a batch; Python workers get the rest of the machine
        "spark.sql.warehouse.dir": str(settings.state_dir / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.debug.maxToStringFields": "200",
        "spark.driver.extraJavaOptions": "-Dlog4j2.level=ERROR -XX:+UseSerialGC"
        if settings.spark_master.startswith("local")
        else "",
    }
    if not settings.lake_is_local:
        reach = settings.s3.hadoop_options(settings.bucket)
        options |= {f"spark.hadoop.{key}": value for key, value in reach.items()}
    return options
