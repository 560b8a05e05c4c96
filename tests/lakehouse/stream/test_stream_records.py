"""Records become the rows that batch would make of the same lines; topics, addresses and progress."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from raw_zone import raw_event

from lakehouse.events import PAYLOADS
from lakehouse.parse import parse
from lakehouse.rows import EVENT_SCHEMA, RawFile
from lakehouse.stream.errors import StreamError, is_broker_away, is_data_lost, is_figures_failure
from lakehouse.stream.produce import address, event_files
from lakehouse.stream.progress import Progress, ProgressFiles, now_text, read_progress
from lakehouse.stream.records import PARSED_SCHEMA, coordinates, parse_batch, source_file
from lakehouse.stream.topics import FAMILIES, Topics, family_of

LATE_EVENING = datetime(2026, 1, 5, 23, 59, 59, 999000, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 6, tzinfo=UTC)


def records(values: list[bytes | None], topic: str = "s.plays", partition: int = 3, first: int = 10, at=MIDNIGHT):
    count = len(values)
    return pa.record_batch(
        {
            "topic": pa.array([topic] * count),
            "partition": pa.array([partition] * count, pa.int32()),
            "offset": pa.array(range(first, first + count), pa.int64()),
            "timestamp": pa.array([at] * count, pa.timestamp("us", "UTC")),
            "value": pa.array(values, pa.binary()),
        }
    )


def parsed(batch: pa.RecordBatch) -> list[dict]:
    return [row for part in parse_batch(batch, b"test") for row in part.to_pylist()]


def test_a_record_is_the_row_that_batch_makes_of_its_line():
    lines = [json.dumps(raw_event(event_id=f"e{n}")).encode() for n in range(5)]
    ours = list(parse_batch(records(lines, first=1), b"test"))
    assert [part.schema for part in ours] == [PARSED_SCHEMA]
    file = RawFile(source_file("s.plays", 3), "events", MIDNIGHT.date())
    [(good, bad)] = parse(file, io.BytesIO(b"\n".join(lines)), b"test")
    assert bad is None
    assert pa.Table.from_batches(ours).select(EVENT_SCHEMA.names).to_pylist() == good.to_pylist()


def test_bad_records_keep_their_bytes_and_their_place():
    good = json.dumps(raw_event()).encode()
    values = [good, b"\xff{", None, b"", b"[1]", good + b"\n" + good, b" ", good]
    rows = parsed(records(values))
    bad = {row["line"]: row for row in rows if row["reason"]}
    assert sorted(bad) == [11, 12, 13, 14, 15, 16]
    assert sorted(row["line"] for row in rows if not row["reason"]) == [10, 17]
    assert bad[11]["value"] == b"\xff{" and "encoding" in bad[11]["reason"]
    assert bad[12]["reason"] == bad[13]["reason"] == "empty record"
    assert bad[15]["value"] == values[5]
    assert {row["source_file"] for row in rows} == {"kafka/s.plays/3"}
    assert coordinates("kafka/s.plays/3") == ("s.plays", 3)


def test_a_record_lands_on_the_utc_day_of_its_own_timestamp():
    line = json.dumps(raw_event()).encode()
    days = {at: parsed(records([line], at=at))[0]["landing_date"] for at in (LATE_EVENING, MIDNIGHT)}
    assert list(days.values()) == [date(2026, 1, 5), date(2026, 1, 6)]


def test_every_event_type_has_a_topic():
    topics = Topics("s")
    assert {family_of(kind) for kind in PAYLOADS} == set(FAMILIES)
    assert family_of("play") == family_of("skip") == "plays"
    assert family_of("ad_click") == "ads"
    assert topics.of(None) == topics.of("made up") == "s.other"
    assert topics.dead_letter not in topics.events


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (b'{"event_type":"play","user_id":"u1"}', ("play", "u1")),
        (b'{"event_type":7,"user_id":"u1"}', (None, None)),
        (b"not json", (None, None)),
        (b"\xff\xfe", (None, None)),
        (b"[" * 10_000, (None, None)),
    ],
)
def test_a_line_is_sent_whatever_its_state(line, where):
    assert address(line) == (line, *where)


def test_nothing_to_send_is_an_error_with_a_way_out(tmp_path):
    with pytest.raises(StreamError, match="soundlake simulate"):
        event_files(tmp_path)


def test_errors_of_the_broker_are_told_apart():
    assert is_broker_away("org.apache.kafka.common.errors.TimeoutException: fetchOffset")
    lost = "[KAFKA_DATA_LOSS.COULD_NOT_READ_OFFSET_RANGE] Some data may have been lost (TimeoutException)"
    assert is_data_lost(lost) and not is_broker_away(lost)
    assert is_broker_away("3 of 4 dead letters did not reach topic soundlake.dead-letter: no answer")
    known = 'Cannot invoke "scala.collection.IterableOps.map(scala.Function1)" because the return value of '
    assert is_figures_failure(known + '"scala.Option.get()" is null') and not is_figures_failure("None.get")
    assert not is_broker_away("java.net.SocketTimeoutException: Read timed out, software.amazon.awssdk")
    assert not is_broker_away("DELTA_CONCURRENT_APPEND") and not is_data_lost("division by zero")


def test_progress_is_read_back(settings):
    progress = Progress("kafka", "running", now_text(), 1, batch=4, records=10, bad=1, rate=5.0, landed=("2026-01-05",))
    ProgressFiles(settings, "kafka").write(progress)
    [found] = read_progress(settings)
    assert (found.batch, found.records, found.bad, found.rate) == (4, 10, 1, 5.0)
    assert "batch 4: 10 records" in found.line()
    [line] = (settings.state_dir / "streams" / "kafka.jsonl").read_text().splitlines()
    assert json.loads(line)["batch"] == 4


def test_two_processes_can_not_run_one_stream(settings):
    from lakehouse.stream.lock import is_running, only_one

    program = (
        "import sys; from lakehouse.settings import Settings; from lakehouse.stream.lock import only_one\n"
        "with only_one(Settings(lake=sys.argv[1], state=sys.argv[2]), 'kafka'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, settings.lake, str(settings.state_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert is_running(settings, "kafka")
        with pytest.raises(StreamError, match=f"process {holder.pid}"), only_one(settings, "kafka"):
            pass
        holder.stdin.close()
    assert not is_running(settings, "kafka")
