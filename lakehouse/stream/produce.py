"""Raw dump lines to the topics of a broker: the way a service sends its events, for replays, tests and measurements.

A line goes out as it is, to the topic of its event type, under the key of its user id, so that one listener's events
stay in order. The producer is idempotent and every delivery is checked.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from lakehouse.lines import read_lines
from lakehouse.stream.errors import StreamError
from lakehouse.stream.topics import Topics, ensure_topics

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
_FLUSH_SECONDS = 120
_TELL_EVERY = 50_000


class Outgoing(NamedTuple):
    """A line and what decides where it goes; a broken line has neither type nor user."""

    line: bytes
    event_type: str | None
    user_id: str | None


@dataclass
class Produced:
    """What was sent; ``broken_files`` ended in the middle of their data."""

    lines: int = 0
    bytes: int = 0
    seconds: float = 0.0
    topics: Counter = field(default_factory=Counter)
    broken_files: list[str] = field(default_factory=list)


class _Head(msgspec.Struct):
    event_type: str | None = None
    user_id: str | None = None


_decoder = msgspec.json.Decoder(_Head)


def address(line: bytes) -> Outgoing:
    """Where a raw line has to go, whatever its state: broken lines go to the topic of all other events."""
    try:
        head = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Outgoing(line, None, None)
    return Outgoing(line, head.event_type, head.user_id)


def event_files(path: Path) -> list[Path]:
    """Event dumps of a lake (below its raw/events), of a folder, or one file; raises StreamError if there are none."""
    if path.is_file():
        return [path]
    folder = path / "raw" / "events" if (path / "raw" / "events").is_dir() else path
    files = sorted(p for p in folder.rglob("*") if p.name.endswith(_SUFFIXES) and not p.name.startswith("."))
    if not files:
        raise StreamError(
            f"{path}: no event dumps (*.jsonl, *.jsonl.gz) there. Make some: soundlake import or soundlake simulate"
        )
    return files


def lines_of(files: Iterable[Path], produced: Produced) -> Iterator[bytes]:
    for path in files:
        with path.open("rb") as stream:
            for line in read_lines(stream):
                if line.fault:
                    produced.broken_files.append(f"{path}: {line.fault}")
                else:
                    yield line.data


def produce(
    servers: str,
    topics: Topics,
    path: Path,
    rate: float | None = None,
    limit: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Produced:
    """Send the lines of ``path`` (see ``event_files``), at most ``limit`` of them and ``rate`` a second.

    Raises StreamError when a line was not delivered, BrokerUnreachable when no broker answers.
    """
    produced = Produced()
    ensure_topics(servers, topics)
    sender = Sender(servers, topics)
    start = time.monotonic()
    for line in lines_of(event_files(path), produced):
        if limit is not None and produced.lines >= limit:
            break
        out = address(line)
        produced.topics[sender.send(out)] += 1
        produced.lines += 1
        produced.bytes += len(line)
        if rate:
            ahead = produced.lines / rate - (time.monotonic() - start)
            if ahead > 0.005:
                sender.poll(ahead)
        if produced.lines % _TELL_EVERY == 0:
            tell(f"{produced.lines:,} lines sent")
    sender.close()
    produced.seconds = time.monotonic() - start
    return produced


class Sender:
    """An idempotent producer; ``close`` returns when every line is with the broker, or raises StreamError."""

    def __init__(self, servers: str, topics: Topics):
        from confluent_kafka import Producer

        self._topics, self._servers = topics, servers
        self._refused: list[str] = []
        options = {"enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4", "log_level": 0}
        self._producer = Producer({"bootstrap.servers": servers, **options})

    def send(self, out: Outgoing) -> str:
        """-> the topic."""
        topic = self._topics.of(out.event_type)
        while True:
            try:
                self._producer.produce(topic, out.line, out.user_id, on_delivery=self._delivered)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)
        return topic

    def poll(self, seconds: float) -> None:
        """Wait this long while deliveries go on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._producer.poll(left)

    def close(self) -> None:
        left = self._producer.flush(_FLUSH_SECONDS)
        if left or self._refused:
            why = self._refused[0] if self._refused else f"no answer within {_FLUSH_SECONDS} s"
            raise StreamError(
                f"{left + len(self._refused)} lines did not reach {self._servers}: {why}. "
                "Send them again: the stream takes an event once however often it comes"
            )

    def _delivered(self, error, _message) -> None:
        if error is not None:
            self._refused.append(error.str())
