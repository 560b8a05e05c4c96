"""Events of the API on a real Kafka broker."""

from __future__ import annotations

import pytest

from lakehouse.events import Play, Search, decode_event, make_event
from lakehouse.parse import utc_now
from serving.online.landing import LandingFailed, target_of

pytestmark = pytest.mark.slow


def test_events_are_with_the_broker_once_they_are_acknowledged(stream_settings):
    from confluent_kafka import Consumer

    now = utc_now()
    at = {"user_id": "u", "occurred_at": now, "received_at": now}
    prefix, servers = stream_settings.kafka_topic_prefix, stream_settings.kafka_servers
    target = target_of(stream_settings.model_copy(update={"api_events": "kafka"}))
    for number in range(2):  # the producer is used again
        sent = [
            make_event("play", event_id=f"p{number}", payload=Play("t"), **at),
            make_event("search", event_id=f"s{number}", payload=Search("q"), **at),
        ]
        places = target.write(sent)
        assert places == [f"kafka://{servers}/{prefix}.other", f"kafka://{servers}/{prefix}.plays"]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": prefix, "auto.offset.reset": "earliest"})
    consumer.subscribe([f"{prefix}.plays", f"{prefix}.other"])
    got = {}
    while len(got) < 4:
        message = consumer.poll(20)
        assert message is not None and message.error() is None
        got[decode_event(message.value()).event_id] = message.key()
    consumer.close()
    assert got == dict.fromkeys(("p0", "s0", "p1", "s1"), b"u")


def test_kafka_without_a_broker_s_address(settings):
    with pytest.raises(LandingFailed, match="SOUNDLAKE_KAFKA_SERVERS"):
        target_of(settings.model_copy(update={"api_events": "kafka"}))
