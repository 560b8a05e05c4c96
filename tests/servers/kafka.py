"""A real Kafka broker for tests: one KRaft node from Maven jars, on free ports, in a folder of its own.

>>> with Broker(tmp_path) as broker:  # skips the test where java or mvn is absent
...     Settings(kafka_servers=broker.address, ...)
...     broker.stop(), broker.start()  # same data, same port
"""

from __future__ import annotations

import base64
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest

VERSION = "4.1.2"
JARS = Path("~/.cache/soundlake").expanduser() / f"kafka-{VERSION}"
_UP_SECONDS = 60
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>soundlake</groupId><artifactId>test-broker</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def ensure_broker_jars() -> Path:
    """-> folder of the broker's jars, fetched from Maven Central once; skips the test where that can't be done."""
    if JARS.is_dir():
        return JARS
    maven = shutil.which("mvn")
    if not maven:
        pytest.skip("no mvn: the broker's jars can't be fetched (apt-get install maven)")
    JARS.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=JARS.parent) as folder:
        pom, out = Path(folder) / "pom.xml", Path(folder) / "jars"
        pom.write_text(_POM)
        command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={out}"]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            pytest.skip(f"the broker's jars can't be fetched: {(result.stdout + result.stderr)[-400:]}")
        if not JARS.exists():
            out.rename(JARS)
    return JARS


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """One node that is broker and controller; ``address`` stays the same over stop and start."""

    def __init__(self, folder: Path):
        java = shutil.which("java")
        if not java:
            pytest.skip("no java: a broker can't be started (apt-get install openjdk-17-jre-headless)")
        self._java = [java, "-Xmx256m", "-XX:+UseSerialGC", "-cp", f"{ensure_broker_jars()}/*"]
        self._folder = folder / "kafka"
        self._folder.mkdir(parents=True)
        self._process: subprocess.Popen | None = None
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._properties = self._folder / "server.properties"
        self._properties.write_text(self._settings(free_port()))
        self._run("kafka.tools.StorageTool", "format", f"--cluster-id={_cluster_id()}", "-c", str(self._properties))

    def _settings(self, controller: int) -> str:
        return "\n".join(
            [
                "process.roles=broker,controller",
                "node.id=1",
                f"controller.quorum.voters=1@127.0.0.1:{controller}",
                f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
                f"advertised.listeners=PLAINTEXT://{self.address}",
                "controller.listener.names=CONTROLLER",
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
                f"log.dirs={self._folder / 'data'}",
                "auto.create.topics.enable=false",
                "offsets.topic.num.partitions=1",
                "offsets.topic.replication.factor=1",
                "transaction.state.log.num.partitions=1",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "group.initial.rebalance.delay.ms=0",
                "log.retention.ms=-1",
                "broker.session.timeout.ms=1500",  # a node that was killed may come back at once
                "broker.heartbeat.interval.ms=300",
                "",
            ]
        )

    def _run(self, main: str, *arguments: str) -> None:
        result = subprocess.run([*self._java, main, *arguments], capture_output=True, text=True, cwd=self._folder)
        assert result.returncode == 0, result.stdout + result.stderr

    def start(self) -> Broker:
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._properties)], stdout=log, stderr=log, cwd=self._folder
            )
        deadline = time.monotonic() + _UP_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the broker did not come up:\n{(self._folder / 'broker.log').read_text()[-2000:]}")
            time.sleep(0.1)
        return self

    def _answers(self) -> bool:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        try:
            client = AdminClient({"bootstrap.servers": self.address, "log_level": 0, "socket.timeout.ms": 1000})
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def stop(self, kill: bool = False) -> None:
        """Stop this broker's own process; ``kill``: by SIGKILL, as when its machine dies."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Leave connections open and answer nothing, as a machine that hangs; ``thaw`` ends it."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Broker:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _cluster_id() -> str:
    """What StorageTool takes for one: 16 bytes, URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
