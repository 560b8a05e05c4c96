"""Raw-zone storage on a real S3 server: what the interface promises, cut connections, and errors that help."""

from __future__ import annotations

import io
import os

import boto3
import pytest
from botocore.config import Config

from lakehouse.storage import storage_for
from lakehouse.storage_connection import S3Connection
from lakehouse.storage_s3 import S3Storage, _Body

MIB = 1 << 20


def test_files_are_written_listed_read_and_deleted(s3_settings):
    storage = storage_for(s3_settings.lake, s3_settings.s3)
    paths = [f"raw/events/date=2026-01-0{day}/a.jsonl" for day in (1, 2, 3)]
    for path in paths:
        storage.write_atomic(path, path.encode())
    assert [entry.path for entry in storage.list("raw")] == paths
    assert [entry.path for entry in storage.list("raw", after=paths[0])] == paths[1:]
    with storage.open_read(paths[1]) as stream:
        assert stream.read() == paths[1].encode()
    before = next(storage.list("raw")).version
    storage.write_atomic(paths[0], b"other")
    assert next(storage.list("raw")).version != before
    storage.delete(paths[0])
    storage.delete(paths[0])
    assert (storage.exists(paths[0]), storage.exists(paths[1])) == (False, True)
    with pytest.raises(FileNotFoundError, match=f"{s3_settings.lake}/{paths[0]} does not exist"):
        storage.open_read(paths[0])


def test_a_read_goes_on_after_the_connection_was_cut(s3, s3_settings, proxy):
    data = os.urandom(3 * MIB)
    storage_for(s3_settings.lake, s3_settings.s3).write_atomic("raw/x", data)
    through = storage_for(s3_settings.lake, S3Connection(proxy.endpoint))
    proxy.toxic("limit_data", bytes=MIB)  # every connection ends after 1 MiB
    with through.open_read("raw/x") as stream:
        assert stream.read() == data


def test_a_read_of_an_object_that_was_replaced_meanwhile_fails(s3_settings, proxy):
    direct = storage_for(s3_settings.lake, s3_settings.s3)
    direct.write_atomic("raw/x", bytes(3 * MIB))
    proxy.toxic("limit_data", bytes=MIB)
    with storage_for(s3_settings.lake, S3Connection(proxy.endpoint)).open_read("raw/x") as stream:
        stream.read(1)
        direct.write_atomic("raw/x", b"1" * (3 * MIB))
        with pytest.raises(OSError, match="raw/x.*PreconditionFailed"):
            stream.read()


def test_a_body_that_is_cut_too_often_is_an_error():
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError("cut")

    with pytest.raises(ConnectionResetError):
        _Body(Broken(), lambda offset: Broken()).readinto(bytearray(1))


def with_keys_of_now(settings) -> S3Storage:
    """boto3 looks the keys up once in a session, and shares one session."""
    return S3Storage(settings.lake, settings.s3, boto3.Session().client("s3", **settings.s3.client_arguments()))


def test_errors_say_what_to_do(s3, s3_settings, monkeypatch):
    with pytest.raises(FileNotFoundError, match="bucket 'nowhere-at-all' does not exist: `aws s3 mb"):
        storage_for("s3://nowhere-at-all/lake", s3_settings.s3).write_atomic("x", b"")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(PermissionError, match="SignatureDoesNotMatch; check with `aws sts"):
        with_keys_of_now(s3_settings).write_atomic("x", b"")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PermissionError, match="no credentials were found; set AWS_ACCESS_KEY_ID"):
        with_keys_of_now(s3_settings).write_atomic("x", b"")
    with pytest.raises(ValueError, match="names no bucket"):
        storage_for("s3:///lake")


def test_a_server_that_is_away_is_named(s3, monkeypatch):
    here = S3Connection("http://127.0.0.1:9")
    arguments = {**here.client_arguments(), "config": Config(retries={"total_max_attempts": 1})}
    storage = S3Storage("s3://bucket/lake", here, boto3.client("s3", **arguments))
    with pytest.raises(
        OSError, match=r"s3://bucket/lake/x: .*http://127.0.0.1:9, SOUNDLAKE_S3_ENDPOINT, gave no answer"
    ):
        storage.open_read("x")
