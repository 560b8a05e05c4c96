"""What can go wrong with a stream, in words that say what to do."""

from __future__ import annotations


class StreamError(RuntimeError):
    """A stream that can't run or go on; the text names the next command to try."""


class BrokerUnreachable(StreamError):
    """No broker answers."""


UNDELIVERED = "dead letters did not reach"
"""Part of the message when the dead-letter topic does not take a batch's bad records."""

_LOST = ("KAFKA_DATA_LOSS", "data may have been lost", "OffsetOutOfRangeException", "data was aged out")
_AWAY = (
    "TimeoutException",
    "DisconnectException",
    "NetworkException",
    "NotLeaderOrFollowerException",
    "LeaderNotAvailableException",
    "CoordinatorNotAvailableException",
    "RetriableException",
    "Failed to create new KafkaAdminClient",
    "Failed to construct kafka consumer",
    "fetchOffset",
)


class FiguresFailed(RuntimeError):
    """Spark finished and committed a micro-batch and then failed to report on it: start the query again.

    Spark 4.1 (SPARK-55271): Kafka's metrics meet a null after a micro-batch that a kill had left unfinished.
    """


def is_figures_failure(text: str) -> bool:
    return "scala.collection.IterableOps.map" in text and "scala.Option.get()" in text


def is_broker_away(text: str) -> bool:
    """Does an error of Spark's Kafka source mean that the broker can't be reached now?"""
    if is_data_lost(text):
        return False
    return UNDELIVERED in text or ("org.apache.kafka" in text and any(part in text for part in _AWAY))


def is_data_lost(text: str) -> bool:
    """Did the broker delete records before they were read?"""
    return any(part in text for part in _LOST)
