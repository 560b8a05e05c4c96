from __future__ import annotations

import io

import pytest

from lakehouse.storage import LocalStorage, storage_for
from lakehouse.storage_connection import S3Connection


def test_writes_reads_lists_and_deletes(tmp_path):
    storage = storage_for(tmp_path / "lake")
    storage.write_atomic("raw/b/2.gz", b"two")
    storage.write_atomic("raw/a/1.gz", b"one")
    storage.write_atomic("raw/a/note.txt", b"")
    assert [entry.path for entry in storage.list("raw", ".gz")] == ["raw/a/1.gz", "raw/b/2.gz"]
    assert [entry.path for entry in storage.list("raw/a")] == ["raw/a/1.gz", "raw/a/note.txt"]
    assert [entry.size for entry in storage.list("", ".gz")] == [3, 3]
    with storage.open_read("raw/b/2.gz") as stream:
        assert stream.read() == b"two"
    storage.delete("raw/a/1.gz")
    storage.delete("raw/a/1.gz")
    assert not storage.exists("raw/a/1.gz")
    assert list(storage.list("nowhere")) == []
    with pytest.raises(FileNotFoundError):
        storage.open_read("raw/a/1.gz")


def test_version_changes_with_the_content(tmp_path):
    storage = storage_for(str(tmp_path))
    storage.write_atomic("x", b"1")
    before = next(storage.list()).version
    storage.write_atomic("x", b"2")
    assert next(storage.list()).version != before


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    storage = LocalStorage(tmp_path)
    storage.write_atomic("a/x.gz", b"old")

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr("lakehouse.storage.os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        storage.write_atomic("a/x.gz", b"new")
    assert (tmp_path / "a/x.gz").read_bytes() == b"old"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.gz"]


def test_half_written_files_are_not_listed(tmp_path):
    (tmp_path / ".x.gz.1234.tmp").write_bytes(b"half")
    assert list(storage_for(tmp_path).list()) == []


def test_addresses(tmp_path):
    assert storage_for(f"file://{tmp_path}").root == str(tmp_path)
    with pytest.raises(ValueError, match="unknown scheme 'ftp'.*s3://bucket"):
        storage_for("ftp://host/lake")
    with pytest.raises(ValueError, match="leaves the storage root"):
        storage_for(tmp_path).exists("../secret")


@pytest.fixture
def s3(monkeypatch):
    from botocore.stub import Stubber

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    storage = storage_for("s3://bucket/some/lake", S3Connection("http://127.0.0.1:9", "us-east-1"))
    with Stubber(storage._client) as stubber:
        yield storage, stubber
        stubber.assert_no_pending_responses()


def test_s3_lists_below_the_prefix(s3):
    storage, stubber = s3
    contents = [
        {"Key": "some/lake/raw/a.gz", "Size": 3, "ETag": '"e1"'},
        {"Key": "some/lake/raw/b.txt", "Size": 1, "ETag": '"e2"'},
    ]
    stubber.add_response(
        "list_objects_v2",
        {"Contents": contents, "IsTruncated": False},
        {"Bucket": "bucket", "Prefix": "some/lake/raw/"},
    )
    assert [tuple(entry) for entry in storage.list("raw", ".gz")] == [("raw/a.gz", 3, "e1")]


def test_s3_reads_writes_and_explains_errors(s3):
    storage, stubber = s3
    place = {"Bucket": "bucket", "Key": "some/lake/x"}
    stubber.add_response("put_object", {}, {**place, "Body": b"data"})
    storage.write_atomic("x", b"data")
    stubber.add_response("get_object", {"Body": io.BytesIO(b"data"), "ETag": '"e"'}, place)
    assert storage.open_read("x").read() == b"data"
    stubber.add_response("head_object", {}, place)
    assert storage.exists("x")
    stubber.add_client_error("head_object", "404", http_status_code=404, expected_params=place)
    assert not storage.exists("x")
    stubber.add_client_error("get_object", "NoSuchKey", expected_params=place)
    with pytest.raises(FileNotFoundError, match="s3://bucket/some/lake/x does not exist"):
        storage.open_read("x")
    stubber.add_client_error("put_object", "NoSuchBucket")
    with pytest.raises(FileNotFoundError, match="aws s3 mb s3://bucket"):
        storage.write_atomic("x", b"data")
    stubber.add_client_error("delete_object", "AccessDenied")
    with pytest.raises(PermissionError, match="AccessDenied"):
        storage.delete("x")
