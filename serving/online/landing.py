"""Events to the landing zone, acknowledged when they are durable: files of the raw zone (local or S3), or Kafka.

Whoever comes while a write is under way waits for the next one, which takes all that waited: under load one file or one
flush carries many requests' events (group commit), without load nobody waits.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import Protocol

from lakehouse.events import Envelope, encode_event
from lakehouse.settings import Settings
from lakehouse.storage import storage_for

SOURCE = "api"
"""What the names of the files begin with."""
_GROUP = 5000  # events of one write, at most


class LandingFailed(RuntimeError):
    """Events that are not durable; they can be sent again: an event counts once however often it comes."""


class Target(Protocol):
    """Where events go. ``write`` returns the places once the events are durable; it runs in a thread."""

    def write(self, events: Sequence[Envelope]) -> list[str]: ...


class FileTarget:
    """Gzipped JSON Lines under raw/events/date=…/hour=… by ``received_at``, a file an hour and write."""

    def __init__(self, settings: Settings):
        self._storage = storage_for(settings.lake, settings.s3)
        self._local = Path(settings.lake) if settings.lake_is_local else None
        self._synced: set[Path] = set()
        self._base = f"file://{settings.lake}" if settings.lake_is_local else settings.lake

    def write(self, events: Sequence[Envelope]) -> list[str]:
        folders: dict[str, list[bytes]] = {}
        for event in events:
            at = event.received_at.astimezone(UTC)
            folders.setdefault(f"raw/events/date={at:%Y-%m-%d}/hour={at:%H}", []).append(encode_event(event))
        paths = []
        for folder, lines in folders.items():
            text = b"\n".join(lines) + b"\n"
            path = f"{folder}/{SOURCE}-{hashlib.blake2b(text, digest_size=8).hexdigest()}.jsonl.gz"
            self._storage.write_atomic(path, gzip.compress(text, 1, mtime=0))
            if self._local is not None:
                self._sync(self._local / folder)
            paths.append(f"{self._base}/{path}")
        return paths

    def _sync(self, folder: Path) -> None:
        """A renamed file is durable once its folder is; a new folder once the one above it is."""
        known = folder in self._synced
        while True:
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            self._synced.add(folder)
            if known or folder in (self._local, folder.parent):
                return
            folder = folder.parent


class KafkaTarget:
    """Topics of the stream, each line under its listener's key, acknowledged by all replicas in sync."""

    def __init__(self, settings: Settings):
        from lakehouse.stream.topics import Topics, ensure_topics

        if not settings.kafka_servers:
            raise LandingFailed("SOUNDLAKE_API_EVENTS=kafka needs SOUNDLAKE_KAFKA_SERVERS=host:port")
        self._servers, self._topics = settings.kafka_servers, Topics(settings.kafka_topic_prefix)
        ensure_topics(self._servers, self._topics)
        self._sender = None

    def write(self, events: Sequence[Envelope]) -> list[str]:
        from lakehouse.stream.produce import Outgoing, Sender

        self._sender = self._sender or Sender(self._servers, self._topics)
        topics = {
            self._sender.send(Outgoing(encode_event(event), type(event).__struct_config__.tag, event.user_id))
            for event in events
        }
        try:
            self._sender.close()  # returns when the broker has them all; the producer can be used again
        except Exception:
            self._sender = None
            raise
        return [f"kafka://{self._servers}/{topic}" for topic in sorted(topics)]


class Landing:
    """One writer for all requests of an event loop."""

    def __init__(self, target: Target):
        self._target = target
        self._thread = ThreadPoolExecutor(1, "landing")
        self._waiting: list[tuple[Sequence[Envelope], asyncio.Future]] = []
        self._writing: asyncio.Task | None = None

    async def append(self, events: Sequence[Envelope]) -> list[str]:
        """-> where the events are, now durable. Raises LandingFailed."""
        done: asyncio.Future = asyncio.get_running_loop().create_future()
        self._waiting.append((events, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, count = [], 0
            while self._waiting and (not group or count + len(self._waiting[0][0]) <= _GROUP):
                group.append(self._waiting.pop(0))
                count += len(group[-1][0])
            events = [event for part, _ in group for event in part]
            try:
                paths = await loop.run_in_executor(self._thread, self._target.write, events)
            except Exception as error:
                failed = LandingFailed(f"{type(error).__name__}: {error}")
                for _, done in group:
                    if not done.done():
                        done.set_exception(failed)
            else:
                for _, done in group:
                    if not done.done():
                        done.set_result(paths)

    async def close(self) -> None:
        """Return when everything that was given is written."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()


def target_of(settings: Settings) -> Target:
    """By ``settings.api_events``. Raises LandingFailed, or what the broker says."""
    return KafkaTarget(settings) if settings.api_events == "kafka" else FileTarget(settings)
