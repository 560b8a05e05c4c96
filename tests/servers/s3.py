"""A real S3 server (versitygw over a folder) and a proxy before it that can misbehave (toxiproxy)."""

from __future__ import annotations

import json
import os
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from servers.programs import free_port, go_program, running

from lakehouse.settings import Settings

VERSITYGW = ("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
TOXIPROXY = ("toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server", "v2.9.0")


@dataclass(frozen=True)
class S3Server:
    """A running server. Its keys are those of the environment (tests/conftest.py draws them)."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        import boto3

        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1")

    def bucket(self) -> str:
        """A new bucket: clients and Spark's file systems remember buckets by their names."""
        name = f"lake-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def settings(self, folder: Path, **options: Any) -> Settings:
        """Settings of an empty lake on the server, its state in ``folder``."""
        options = {"s3_endpoint": self.endpoint, "pseudonym_key": "test", "spark_memory": "1g", **options}
        return Settings(lake=f"s3://{self.bucket()}/some/lake", state=folder / "state", **options)


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """versitygw over ``folder``; skips the test where it can't be had."""
    program, port = go_program(*VERSITYGW), free_port()
    objects = folder / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    keys = {"ROOT_ACCESS_KEY": os.environ["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": os.environ["AWS_SECRET_ACCESS_KEY"]}
    command = [str(program), "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(objects)]
    with running(command, port, folder / "versitygw.log", keys):
        yield S3Server(port)


class Proxy:
    """A way to a server through toxiproxy: ``toxic`` and ``cut`` make it bad, ``heal`` good again."""

    def __init__(self, api: int, upstream: int):
        self._api, self.port = api, free_port()
        body = {"name": "s3", "listen": f"127.0.0.1:{self.port}", "upstream": f"127.0.0.1:{upstream}"}
        self._call("POST", "/proxies", body)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def toxic(self, kind: str, stream: str = "downstream", toxicity: float = 1.0, **attributes: int) -> None:
        """``latency`` (latency, jitter: ms), ``limit_data`` (bytes), ``reset_peer`` (timeout: ms), …"""
        body = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        self._call("POST", "/proxies/s3/toxics", body)

    def cut(self) -> None:
        """Close every connection and accept none."""
        self._call("POST", "/proxies/s3", {"enabled": False})

    def heal(self) -> None:
        self._call("POST", "/reset", None)

    def _call(self, method: str, path: str, body: dict | None) -> None:
        data = json.dumps(body).encode() if body is not None else b""
        request = urllib.request.Request(f"http://127.0.0.1:{self._api}{path}", data, method=method)
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def proxy_to(port: int, folder: Path) -> Iterator[Proxy]:
    """A toxiproxy before ``port``."""
    program, api = go_program(*TOXIPROXY), free_port()
    command = [str(program), "-host", "127.0.0.1", "-port", str(api)]
    with running(command, api, folder / "toxiproxy.log"):
        yield Proxy(api, port)


@pytest.fixture(scope="session")
def s3(tmp_path_factory) -> Iterator[S3Server]:
    """The S3 server of the test run."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
