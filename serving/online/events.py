"""Posted events: each checked against the contract of the raw zone, all taken or none."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct

from lakehouse.events import ContractError, Envelope, decode_event
from serving.online.requests import Refused, decode, value_at

MAX_EVENTS = 5000


class Batch(Struct, forbid_unknown_fields=True):
    """The body of a request. The events stay raw: the contract judges each, not the batch."""

    events: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_EVENTS)]


class _Head(Struct):
    received_at: Any = UNSET


_batch = msgspec.json.Decoder(Batch)
_head = msgspec.json.Decoder(_Head)


def parse_events(body: bytes, now: datetime | None = None) -> list[Envelope]:
    """The events of a body (docs/event-schema.json); ``received_at`` is filled in where a client leaves it out.

    Raises Refused that names the number of the first wrong event (from 0), its field and value.
    """
    stamp = (now or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [_event(number, bytes(raw), stamp) for number, raw in enumerate(decode(_batch, body).events)]


def _event(number: int, line: bytes, stamp: str) -> Envelope:
    try:
        if _head.decode(line).received_at is UNSET:
            rest = line.strip()[1:].lstrip()
            line = b'{"received_at":"%b"%b%b' % (stamp.encode(), b"" if rest == b"}" else b",", rest)
        event = decode_event(line)
        return decode_event(line, event.received_at.astimezone(UTC).date())
    except (ContractError, msgspec.ValidationError) as error:
        message, field = _parted(str(error))
        raise Refused(422, message, f"events[{number}]{field}", value_at(line, field)) from None


def _parted(text: str) -> tuple[str, str]:
    """The reason, and the path of the field below the event such as ".payload.track_id", "" for the event itself."""
    what, _, place = text.removeprefix("breaks the contract: ").partition(" - at `")
    path = place.rstrip("`").removeprefix("$")
    if name := re.search(r"(?:missing required field|unknown field) `(.+)`$", what):
        return what, f"{path}.{name[1]}"
    if time := re.match(r"time out of range: (\w+) ", what):
        return what, f".{time[1]}"
    return what, path
