"""Compile the log stores against the jars that Spark runs with, into a jar that is the same bytes every time."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from lakehouse.jars import DELTA, ensure_jars
from lakehouse.logstore import SOURCES

JAVA_RELEASE = 17
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can have
_MANIFEST = "Manifest-Version: 1.0\r\n\r\n"


class BuildError(RuntimeError):
    """The Java sources could not be compiled."""


def build(jar: Path, cache: Path) -> None:
    """Write ``jar``; the Delta jars are fetched into ``cache`` if they are not there. Raises BuildError."""
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder)
        compile_into(classes, cache)
        with zipfile.ZipFile(jar, "w") as archive:
            _add(archive, "META-INF/MANIFEST.MF", _MANIFEST.encode())
            for file in sorted(classes.rglob("*.class")):
                _add(archive, file.relative_to(classes).as_posix(), file.read_bytes())


def compile_into(folder: Path, cache: Path) -> None:
    """Class files of every source into ``folder``."""
    javac = shutil.which("javac")
    if javac is None:
        raise BuildError(
            "javac was not found: install a Java development kit (apt-get install openjdk-17-jdk-headless)"
        )
    command = [javac, "--release", str(JAVA_RELEASE), "-Xlint:all", "-Werror", "-proc:none", "-g:source,lines"]
    command += ["-classpath", ":".join(map(str, _class_path(cache))), "-d", str(folder)]
    done = subprocess.run([*command, *map(str, sorted(SOURCES.rglob("*.java")))], capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"javac refused the sources in {SOURCES}:\n{done.stdout}{done.stderr}")


def _class_path(cache: Path) -> list[Path]:
    """Delta's storage interface, and Hadoop as pyspark ships it."""
    import pyspark

    storage = [jar for jar in ensure_jars(DELTA, cache) if "delta-storage" in jar.name]
    return storage + sorted((Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar"))


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content, zipfile.ZIP_STORED)  # deflate could differ between versions of zlib
