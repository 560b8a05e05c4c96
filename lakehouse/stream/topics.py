"""Topics: one a family of events, one for dead letters.

>>> topics = Topics("soundlake")
>>> topics.of("skip"), topics.dead_letter
('soundlake.plays', 'soundlake.dead-letter')
"""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.stream.errors import BrokerUnreachable, StreamError

PARTITIONS = 4
"""Of a topic that we make; one listener's events stay in order, as the key is the user id."""

FAMILIES = ("plays", "feedback", "ads", "sessions", "other")
_FAMILY_OF = {
    **dict.fromkeys(("play", "skip"), "plays"),  # together, so that a skip comes after its play
    **dict.fromkeys(("like", "unlike", "playlist_add", "playlist_remove"), "feedback"),
    **dict.fromkeys(("ad_request", "ad_impression", "ad_complete", "ad_skip", "ad_click"), "ads"),
    **dict.fromkeys(("session_start", "session_end"), "sessions"),
}
_ADMIN_SECONDS = 20


def family_of(event_type: str | None) -> str:
    """The family whose topic carries ``event_type``; what has no family of its own, or no type at all, is "other"."""
    return _FAMILY_OF.get(event_type or "", "other")


@dataclass(frozen=True)
class Topics:
    """Names of the topics under one prefix."""

    prefix: str

    def of(self, event_type: str | None) -> str:
        return f"{self.prefix}.{family_of(event_type)}"

    @property
    def events(self) -> list[str]:
        return [f"{self.prefix}.{family}" for family in FAMILIES]

    @property
    def dead_letter(self) -> str:
        return f"{self.prefix}.dead-letter"


def ensure_topics(servers: str, topics: Topics, partitions: int = PARTITIONS) -> dict[str, int]:
    """Make the topics that are missing; -> event topic -> number of its partitions.

    Raises BrokerUnreachable, or StreamError when a topic is missing and may not be made.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        have = client.list_topics(timeout=_ADMIN_SECONDS).topics
        missing = [name for name in (*topics.events, topics.dead_letter) if name not in have]
        if missing:
            for name, made in client.create_topics([NewTopic(name, partitions) for name in missing]).items():
                _wait_for(name, made)
            have = client.list_topics(timeout=_ADMIN_SECONDS).topics
    except KafkaException as error:
        raise BrokerUnreachable(
            f"no Kafka broker answers at {servers}: {error.args[0].str()}. "
            "Check SOUNDLAKE_KAFKA_SERVERS and that the broker runs"
        ) from None
    return {name: len(have[name].partitions) for name in topics.events if name in have}


def _wait_for(name: str, made) -> None:
    from confluent_kafka import KafkaError, KafkaException

    try:
        made.result(_ADMIN_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise StreamError(
                f"topic {name} does not exist and can't be made: {error.args[0].str()}. "
                f"Make it with your broker's tool (kafka-topics.sh --create --topic {name}) and run again"
            ) from None
