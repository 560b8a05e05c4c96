"""Raw-zone storage on S3 and servers that speak its protocol; ``storage_for`` loads it when an address asks for it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from lakehouse.storage import Entry, StorageError
from lakehouse.storage_connection import ATTEMPTS, S3Connection, bucket_of

_MISSING = {"404", "NoSuchKey", "NotFound"}
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"}
_CUT = (ConnectionError, HTTPClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError, OSError)

T = TypeVar("T")


class _Absent(StorageError, FileNotFoundError):
    pass


class _Denied(StorageError, PermissionError):
    pass


class S3Storage:
    """A bucket and prefix. A PUT is atomic by itself, so no temporary object is needed.

    Requests are repeated for about half a minute (``storage_connection``); then a StorageError names the object.
    """

    def __init__(self, uri: str, connection: S3Connection | None = None, client: Any = None):
        self.bucket, self._prefix = bucket_of(uri), urlsplit(uri).path.strip("/")
        self.root = f"s3://{self.bucket}/{self._prefix}".rstrip("/")
        self._connection = connection or S3Connection()
        self._client = client or boto3.client("s3", **self._connection.client_arguments())

    def list(self, prefix: str = "", suffix: str = "", after: str = "") -> Iterator[Entry]:
        folder = self._key(prefix)
        wanted = {"Bucket": self.bucket, "Prefix": f"{folder}/" if folder else ""}
        if after:
            wanted["StartAfter"] = self._key(after)
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(**wanted))
        strip = len(self._prefix) + 1 if self._prefix else 0
        while (page := self._ask(prefix, lambda: next(pages, None))) is not None:
            for item in page.get("Contents", ()):
                if item["Key"].endswith(suffix):
                    yield Entry(item["Key"][strip:], item["Size"], item["ETag"].strip('"'))

    def open_read(self, path: str) -> BinaryIO:
        key = self._key(path)
        answer = self._ask(path, lambda: self._client.get_object(Bucket=self.bucket, Key=key))

        def resume(offset: int) -> Any:
            wanted = {"Range": f"bytes={offset}-", "IfMatch": answer["ETag"]}
            return self._ask(path, lambda: self._client.get_object(Bucket=self.bucket, Key=key, **wanted)["Body"])

        return io.BufferedReader(_Body(answer["Body"], resume), 1 << 20)

    def write_atomic(self, path: str, data: bytes) -> None:
        self._ask(path, lambda: self._client.put_object(Bucket=self.bucket, Key=self._key(path), Body=data))

    def exists(self, path: str) -> bool:
        try:
            self._ask(path, lambda: self._client.head_object(Bucket=self.bucket, Key=self._key(path)))
        except FileNotFoundError:
            return False
        return True

    def delete(self, path: str) -> None:
        self._ask(path, lambda: self._client.delete_object(Bucket=self.bucket, Key=self._key(path)))

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self._prefix, path.strip("/")) if part)

    def _ask(self, path: str, request: Callable[[], T]) -> T:
        """The answer to ``request``; raises a StorageError that says what to check."""
        where = f"s3://{self.bucket}/{self._key(path)}"
        try:
            return request()
        except ClientError as error:
            raise self._explained(error, where) from error
        except NoCredentialsError as error:
            raise _Denied(
                f"{where}: no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from error
        except BotoCoreError as error:
            server = self._connection.endpoint or "Amazon S3"
            raise StorageError(
                f"{where}: {error} ({server}, SOUNDLAKE_S3_ENDPOINT, gave no answer that could be used)"
            ) from error

    def _explained(self, error: ClientError, where: str) -> OSError:
        code = error.response["Error"]["Code"]
        if code in _MISSING:
            return _Absent(f"{where} does not exist")
        if code == "NoSuchBucket":
            return _Absent(f"bucket {self.bucket!r} does not exist: `aws s3 mb s3://{self.bucket}` makes it")
        if code in _DENIED:
            return _Denied(f"{where}: {code}; check with `aws sts get-caller-identity` and the bucket policy")
        return StorageError(f"{where}: {error}")


class _Body(io.RawIOBase):
    """An object's bytes. After a cut it goes on from where it was, as long as the object is still the same one."""

    def __init__(self, body: Any, resume: Callable[[int], Any]):
        self._body, self._resume = body, resume
        self._offset, self._cuts = 0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            try:
                data = self._body.read(len(buffer))
                break
            except _CUT:
                self._cuts += 1
                if self._cuts >= ATTEMPTS:
                    raise
                self._body.close()
                self._body = self._resume(self._offset)
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
