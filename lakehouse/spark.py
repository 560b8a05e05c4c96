"""The one Spark session of a process: Delta on, jars from the cache, quiet, bounded memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.jars import coordinates_for, ensure_jars
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


def get_spark(settings: Settings | None = None) -> SparkSession:
    """The process-wide session; settings count at the first call only, as Spark has one session per process."""
    settings = settings or get_settings()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    check_java()
    builder = SparkSession.builder.appName("soundlake").master(settings.spark_master)
    for key, value in _options(settings).items():
        builder = builder.config(key, value)
    with _stderr_to(settings.state_dir / "logs" / "spark.log"):
        spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")  # errors arrive as Python exceptions; the log would say them twice
    return spark


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


def _options(settings: Settings) -> dict[str, str]:
    jars = ensure_jars(coordinates_for(settings), settings.cache_dir)
    options = {
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
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
        options["spark.hadoop.fs.s3a.aws.credentials.provider"] = (
            "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        )
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            options["spark.hadoop.fs.s3a.endpoint"] = endpoint
            options["spark.hadoop.fs.s3a.path.style.access"] = "true"
    return options
