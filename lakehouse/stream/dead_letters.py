"""Records that can't be used, sent on to the dead-letter topic with what is wrong with them.

At least once: a batch that runs again sends its dead letters again, with the same coordinates in their headers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lakehouse.stream.errors import UNDELIVERED, StreamError

_FLUSH_SECONDS = 60
_HEADER_CHARACTERS = 1000
_CUT = 100_000  # bytes that are kept of a record which is too large with its headers


class DeadLetter(NamedTuple):
    """A bad record as it came, and why it is bad."""

    topic: str
    partition: int
    offset: int
    value: bytes
    reason: str


class DeadLetters:
    """Sends to one topic; ``send`` returns when the broker has them all."""

    def __init__(self, servers: str, topic: str):
        from confluent_kafka import Producer

        self._topic = topic
        self._producer = Producer(
            {"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 5, "log_level": 0}
        )

    def send(self, letters: Iterable[DeadLetter]) -> int:
        """-> how many; raises StreamError when the broker refuses one or does not answer."""
        refused: list[str] = []
        count = 0

        def delivered(error, _message) -> None:
            if error is not None:
                refused.append(error.str())

        for letter in letters:
            self._produce(letter, delivered)
            count += 1
        left = self._producer.flush(_FLUSH_SECONDS)
        if left or refused:
            why = refused[0] if refused else f"no answer within {_FLUSH_SECONDS} s"
            raise StreamError(
                f"{len(refused) + left} of {count} {UNDELIVERED} topic {self._topic}: {why}. "
                "They are in quarantine (`soundlake quarantine list`); the batch is tried again"
            )
        return count

    def _produce(self, letter: DeadLetter, delivered) -> None:
        from confluent_kafka import KafkaError, KafkaException

        key = f"{letter.topic}/{letter.partition}/{letter.offset}"
        headers = [
            ("reason", letter.reason[:_HEADER_CHARACTERS]),
            ("source.topic", letter.topic),
            ("source.partition", str(letter.partition)),
            ("source.offset", str(letter.offset)),
        ]
        try:
            self._enqueue(letter.value, key, headers, delivered)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise
            cut = [*headers, ("cut.from", str(len(letter.value)))]
            self._enqueue(letter.value[:_CUT], key, cut, delivered)

    def _enqueue(self, value: bytes, key: str, headers: list[tuple[str, str]], delivered) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, headers=headers, on_delivery=delivered)
                return
            except BufferError:  # full: some have to leave first, or time out
                self._producer.poll(1)
