"""Where a stream without a checkpoint begins: behind the last record that bronze has.

So a lost checkpoint costs nothing: no record is left out, and none is appended a second time.
"""

from __future__ import annotations

import json

from lakehouse import arrow
from lakehouse.settings import Settings
from lakehouse.stream.errors import BrokerUnreachable, StreamError
from lakehouse.stream.records import SOURCE, coordinates, source_file
from lakehouse.tables.bronze import EVENTS, QUARANTINE

_EARLIEST = -2  # as Spark writes it
_SECONDS = 20


def starting_offsets(settings: Settings, partitions: dict[str, int]) -> str:
    """Spark's ``startingOffsets`` for these topics (topic -> partitions): "earliest", or JSON of what comes next,
    or the first record that the broker still has.

    Raises StreamError when a topic was made again and holds fewer records than bronze has of it.
    """
    read = last_read(settings)
    if not read:
        return "earliest"
    offsets = {
        topic: {str(p): read.get((topic, p), _EARLIEST - 1) + 1 for p in range(count)}
        for topic, count in partitions.items()
    }
    for topic, wanted in offsets.items():
        for partition, (first, end) in _held(settings, topic, [int(p) for p, n in wanted.items() if n > 0]).items():
            offset = wanted[str(partition)]
            if offset > end:
                raise StreamError(
                    f"bronze.events has {source_file(topic, partition)} up to record {offset - 1}, but the topic ends "
                    f"at {end}: it was made again. Give its new records another name "
                    "(SOUNDLAKE_KAFKA_TOPIC_PREFIX), or the lake a topic with the old ones"
                )
            wanted[str(partition)] = max(offset, first)
    return json.dumps(offsets)


def last_read(settings: Settings) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the largest offset in bronze or quarantine."""
    import pyarrow.compute as pc

    last: dict[tuple[str, int], int] = {}
    for table in (EVENTS, QUARANTINE):
        try:
            rows = arrow.dataset(settings, table)
        except arrow.TableMissing:
            continue
        where = pc.starts_with(pc.field("source_file"), f"{SOURCE}/")
        found = rows.to_table(columns=["source_file", "line"], filter=where)
        found = found.group_by("source_file").aggregate([("line", "max")]).to_pydict()
        for source, line in zip(found["source_file"], found["line_max"], strict=True):
            key = coordinates(source)
            last[key] = max(line, last.get(key, -1))
    return last


def _held(settings: Settings, topic: str, partitions: list[int]) -> dict[int, tuple[int, int]]:
    """partition -> (first, next) offset that the broker holds now; raises BrokerUnreachable."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    consumer = Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": "soundlake", "log_level": 0})
    try:
        return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=_SECONDS) for p in partitions}
    except KafkaException as error:
        raise BrokerUnreachable(f"no Kafka broker answers at {settings.kafka_servers}: {error.args[0].str()}") from None
    finally:
        consumer.close()
