"""Events of the API on a real S3 server."""

from __future__ import annotations

import gzip

from lakehouse.events import SessionMark, decode_event, make_event
from lakehouse.parse import utc_now
from lakehouse.storage import storage_for
from serving.online.landing import target_of


def test_events_are_an_object_once_they_are_acknowledged(s3_settings):
    now = utc_now()
    mark = {"user_id": "u", "occurred_at": now, "received_at": now, "payload": SessionMark()}
    sent = [make_event("session_start", event_id=name, **mark) for name in ("a", "b")]
    (place,) = target_of(s3_settings).write(sent)
    storage = storage_for(s3_settings.lake, s3_settings.s3)
    (entry,) = storage.list("raw/events", ".jsonl.gz")
    assert place == f"{s3_settings.lake}/{entry.path}"
    with storage.open_read(entry.path) as stream:
        lines = gzip.decompress(stream.read()).splitlines()
    assert [decode_event(line).event_id for line in lines] == ["a", "b"]
