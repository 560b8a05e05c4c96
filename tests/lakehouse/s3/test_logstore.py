"""The log stores: the first writer of a version wins, whatever process it is in, and knows that it did."""

from __future__ import annotations

import shutil
import subprocess
import threading
import zipfile

import pytest
from servers.lossy import LossyProxy

from lakehouse import logstore
from lakehouse.logstore.build import JAVA_RELEASE, build
from lakehouse.settings import Settings
from lakehouse.spark import configure_s3

NAME = "00000000000000000007.json"


class Log:
    """The log store of ``uri`` (a _delta_log folder) in the JVM of the session."""

    def __init__(self, spark, class_name: str, uri: str):
        self._jvm, self._conf = spark._jvm, spark.sparkContext._jsc.hadoopConfiguration()
        self._store = getattr(self._jvm.io.soundlake.logstore, class_name)(self._conf)
        self.path = self._jvm.org.apache.hadoop.fs.Path(f"{uri}/{NAME}")

    def write(self, *lines: str, overwrite: bool = False) -> None:
        actions = self._jvm.java.util.ArrayList()
        for line in lines:
            actions.add(line)
        self._store.write(self.path, actions.iterator(), overwrite, self._conf)

    def read(self) -> list[str]:
        found = self._store.read(self.path, self._conf)
        return list(iter(lambda: found.next() if found.hasNext() else None, None))

    def listed(self) -> list[str]:
        found = self._store.listFrom(self.path, self._conf)
        return list(iter(lambda: found.next().getPath().getName() if found.hasNext() else None, None))

    @property
    def shows_half(self) -> bool:
        return self._store.isPartialWriteVisible(self.path, self._conf)


@pytest.fixture
def local_log(spark, tmp_path):
    (tmp_path / "_delta_log").mkdir()
    return Log(spark, "LinkLogStore", f"file:{tmp_path}/_delta_log")


@pytest.fixture
def s3_log(spark, s3_settings):
    configure_s3(spark, s3_settings)
    return Log(spark, "ConditionalLogStore", s3_settings.table_uri("a.b") + "/_delta_log")


@pytest.mark.parametrize("kind", ["local_log", "s3_log"])
def test_the_second_writer_of_a_version_is_refused(kind, request):
    log = request.getfixturevalue(kind)
    log.write("first", "ünd")
    with pytest.raises(Exception, match="FileAlreadyExistsException"):
        log.write("second")
    assert log.read() == ["first", "ünd"]
    log.write("third", overwrite=True)
    assert log.read() == ["third"]
    assert log.listed() == [NAME]  # and no temporary file
    assert log.shows_half == (kind == "local_log")


def test_of_many_at_once_one_wins(local_log, s3_log):
    for log in (local_log, s3_log):
        wins: list[int] = []

        def write(number: int, log: Log = log, wins: list[int] = wins) -> None:
            try:
                log.write(f"writer {number}")
            except Exception as error:
                assert "FileAlreadyExistsException" in str(error)
            else:
                wins.append(number)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert log.read() == [f"writer {number}" for number in wins]
        assert len(wins) == 1


def test_a_commit_whose_answer_was_lost_is_known_as_ones_own(spark, s3, s3_settings):
    """The PUT arrives, its answer does not: the repetition is refused by the server, because of the writer itself."""
    with LossyProxy(s3.port) as proxy:
        through = Settings(lake=s3_settings.lake, s3_endpoint=proxy.endpoint, state=s3_settings.state)
        configure_s3(spark, through)
        log = Log(spark, "ConditionalLogStore", through.table_uri("a.b") + "/_delta_log")
        log.write("mine")
        assert proxy.lost.is_set()
        with pytest.raises(Exception, match="FileAlreadyExistsException"):
            log.write("theirs")
        assert log.read() == ["mine"]


def test_a_log_folder_that_is_gone_is_named(local_log, tmp_path):
    folder = tmp_path / "_delta_log"
    folder.rename(tmp_path / "moved")
    with pytest.raises(Exception, match="FileNotFoundException.*_delta_log"):
        local_log.write("x")


def test_a_checksum_that_hadoop_left_does_not_spoil_an_overwritten_file(local_log, tmp_path):
    """Delta's own store leaves a checksum beside what it writes."""
    conf = local_log._conf
    with_checksum = local_log._jvm.org.apache.hadoop.fs.FileSystem.getLocal(conf)
    with_checksum.create(local_log.path, True).close()
    assert (tmp_path / "_delta_log" / f".{NAME}.crc").exists()
    local_log.write("new", overwrite=True)
    assert local_log.read() == ["new"]


def test_tables_use_these_stores(spark, s3_settings, tmp_path):
    assert {key: spark.conf.get(key) for key in logstore.SPARK_OPTIONS} == logstore.SPARK_OPTIONS
    configure_s3(spark, s3_settings)
    for uri in (str(tmp_path / "t"), s3_settings.table_uri("a.b")):
        spark.range(3).write.format("delta").save(uri)
        log = spark._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, uri)
        scheme = log.logPath().toUri().getScheme()
        assert f"spark.delta.logStore.{scheme}.impl" in logstore.SPARK_OPTIONS


@pytest.mark.slow
def test_the_jar_is_what_the_sources_give(tmp_path):
    javac = shutil.which("javac")
    if javac is None:
        pytest.skip("no javac: apt-get install openjdk-17-jdk-headless")
    version = subprocess.run([javac, "-version"], capture_output=True, text=True).stdout
    if f" {JAVA_RELEASE}." not in version:
        pytest.skip(f"{version.strip()} writes other class files than javac {JAVA_RELEASE}")
    build(tmp_path / "again.jar", Settings().cache_dir)
    with zipfile.ZipFile(tmp_path / "again.jar") as again, zipfile.ZipFile(logstore.JAR) as shipped:
        assert again.namelist() == shipped.namelist()
        assert {n: again.read(n) for n in again.namelist()} == {n: shipped.read(n) for n in shipped.namelist()}
    assert (tmp_path / "again.jar").read_bytes() == logstore.JAR.read_bytes()
