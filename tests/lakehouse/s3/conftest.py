"""A real S3 server, a proxy before it, and lakes on it."""

from __future__ import annotations

import pytest
from servers.s3 import proxy_to, s3  # noqa: F401


@pytest.fixture
def proxy(s3, tmp_path):  # noqa: F811
    """A healthy way to the server; the test may spoil it."""
    with proxy_to(s3.port, tmp_path) as found:
        yield found


@pytest.fixture
def s3_settings(s3, tmp_path):  # noqa: F811
    """Settings of an empty lake on the server."""
    return s3.settings(tmp_path)
