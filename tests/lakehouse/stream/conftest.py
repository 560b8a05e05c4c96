"""One broker for all stream tests, a topic prefix of each test's own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from servers.kafka import Broker

from lakehouse.settings import Settings


@pytest.fixture(scope="session")
def broker(tmp_path_factory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def stream_settings(settings, broker) -> Settings:
    """Settings of an empty lake that reads topics of this test's own."""
    return settings.model_copy(
        update={"kafka_servers": broker.address, "kafka_topic_prefix": f"test-{uuid.uuid4().hex[:8]}"}
    )
