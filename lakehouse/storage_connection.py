"""How to reach S3: one value, told to each of the clients that the lake uses in its own words.

Credentials are not here. Every client finds them by the usual AWS chain (environment, profile, role of the machine).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from botocore.config import Config

DEFAULT_REGION = "us-east-1"
"""What servers that know no regions expect."""

CONNECT_SECONDS, READ_SECONDS = 5, 60
ATTEMPTS, RETRY_SECONDS = 8, 45
"""Of one request, with growing pauses: about half a minute of a server that is away is sat out."""


@dataclass(frozen=True)
class S3Connection:
    """``endpoint`` None is Amazon's; ``path_style`` None means yes where there is an endpoint."""

    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None

    @property
    def bucket_in_path(self) -> bool:
        return bool(self.endpoint) if self.path_style is None else self.path_style

    @property
    def _region(self) -> str | None:
        """The region to name; Amazon's is left to the usual chain."""
        return self.region or (DEFAULT_REGION if self.endpoint else None)

    def client_config(self) -> Config:
        """Timeouts, retries and addressing of a boto3 client."""
        from botocore.config import Config

        return Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            s3={"addressing_style": "path" if self.bucket_in_path else "auto"},
        )

    def client_arguments(self) -> dict[str, Any]:
        """Arguments of ``boto3.client("s3", …)``."""
        return {"endpoint_url": self.endpoint, "region_name": self._region, "config": self.client_config()}

    def hadoop_options(self, bucket: str) -> dict[str, str]:
        """Hadoop's S3A options for ``bucket`` alone: one Spark session can work on several servers."""
        options = {
            "aws.credentials.provider": "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
            "path.style.access": str(self.bucket_in_path).lower(),
            "connection.establish.timeout": f"{CONNECT_SECONDS}s",
            "connection.timeout": f"{READ_SECONDS}s",
            "attempts.maximum": str(ATTEMPTS),
        }
        if self.endpoint:
            options["endpoint"] = self.endpoint
        if self._region:
            options["endpoint.region"] = self._region
        return {f"fs.s3a.bucket.{bucket}.{name}": value for name, value in options.items()}

    def deltalake_options(self, bucket: str) -> dict[str, str]:
        """``storage_options`` of delta-rs. A commit is a conditional PUT, as in ``logstore`` for Spark."""
        options = {
            "AWS_CONDITIONAL_PUT": "etag",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": str(not self.bucket_in_path).lower(),
            "connect_timeout": f"{CONNECT_SECONDS}s",
            "timeout": f"{READ_SECONDS}s",
            # its own ten tries are over in two seconds; these end after the time, not the number
            "max_retries": "100",
            "retry_timeout": f"{RETRY_SECONDS}s",
            "backoff_config.init_backoff": "500ms",
            "backoff_config.max_backoff": "8s",
        }
        if self.endpoint:
            # delta-rs wants the bucket in the host name already there
            options["AWS_ENDPOINT_URL"] = self.endpoint if self.bucket_in_path else _with_bucket(self.endpoint, bucket)
            options["AWS_ALLOW_HTTP"] = str(self.endpoint.startswith("http://")).lower()
        if self._region:
            options["AWS_REGION"] = self._region
        return options


def _with_bucket(endpoint: str, bucket: str) -> str:
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(netloc=f"{bucket}.{parts.netloc}"))


def bucket_of(uri: str) -> str:
    """The bucket of ``s3://bucket/prefix`` (``s3a`` too); raises ValueError where the address names none."""
    bucket = urlsplit(uri).netloc
    if not bucket:
        raise ValueError(f"lake address {uri!r} names no bucket: give s3://bucket/prefix")
    return bucket
