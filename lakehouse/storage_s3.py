"""Raw-zone storage on S3 and servers that speak its protocol; ``storage_for`` loads it when an address asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

from lakehouse.storage import Entry

_MISSING = {"404", "NoSuchKey", "NotFound"}


class S3Storage:
    """A bucket and prefix. A PUT is atomic by itself, so no temporary object is needed."""

    def __init__(self, uri: str, *, endpoint: str | None = None, region: str | None = None):
        parts = urlsplit(uri)
        if not parts.netloc:
            raise ValueError(f"lake address {uri!r} names no bucket: give s3://bucket/prefix")
        self.bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self.root = f"s3://{self.bucket}/{self._prefix}".rstrip("/")
        self._client = boto3.client("s3", endpoint_url=endpoint, region_name=region)

    def list(self, prefix: str = "", suffix: str = "") -> Iterator[Entry]:
        folder = self._key(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{folder}/" if folder else ""
        )
        strip = len(self._prefix) + 1 if self._prefix else 0
        try:
            for page in pages:
                for item in page.get("Contents", ()):
                    if item["Key"].endswith(suffix):
                        yield Entry(item["Key"][strip:], item["Size"], item["ETag"].strip('"'))
        except ClientError as error:
            raise self._explained(error, prefix) from error

    def open_read(self, path: str) -> BinaryIO:
        try:
            return self._client.get_object(Bucket=self.bucket, Key=self._key(path))["Body"]
        except ClientError as error:
            raise self._explained(error, path) from error

    def write_atomic(self, path: str, data: bytes) -> None:
        try:
            self._client.put_object(Bucket=self.bucket, Key=self._key(path), Body=data)
        except ClientError as error:
            raise self._explained(error, path) from error

    def exists(self, path: str) -> bool:
        try:
            self._client.head_object(Bucket=self.bucket, Key=self._key(path))
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return False
            raise self._explained(error, path) from error
        return True

    def delete(self, path: str) -> None:
        try:
            self._client.delete_object(Bucket=self.bucket, Key=self._key(path))
        except ClientError as error:
            raise self._explained(error, path) from error

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self._prefix, path.strip("/")) if part)

    def _explained(self, error: ClientError, path: str) -> OSError:
        code = error.response["Error"]["Code"]
        where = f"s3://{self.bucket}/{self._key(path)}"
        if code in _MISSING:
            return FileNotFoundError(f"{where} does not exist")
        if code == "NoSuchBucket":
            return FileNotFoundError(f"bucket {self.bucket!r} does not exist: `aws s3 mb s3://{self.bucket}` makes it")
        if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"):
            return PermissionError(f"{where}: {code}; check with `aws sts get-caller-identity` and the bucket policy")
        return OSError(f"{where}: {error}")
