"""The raw event contract: one versioned envelope, one payload per event type.

Everything that reads or writes raw events goes through these classes: sources encode them, ingest decodes them
(strictly: a wrong type is an error, never a null), and ``docs/event-schema.json`` is generated from them.
Times are UTC with millisecond meaning, durations are milliseconds, and an unknown extra field is allowed (it stays in
the raw line that bronze keeps).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import Meta, Struct

SCHEMA_VERSION = 1
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
CLOCK_SKEW = timedelta(days=1)
DAY_MS = 24 * 3600 * 1000

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(max_length=1024)]
Millis = Annotated[int, Meta(ge=0, le=DAY_MS)]
Probability = Annotated[float, Meta(gt=0, le=1)]
UtcTime = Annotated[datetime, Meta(tz=True)]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$")]
DeviceType = Literal["phone", "tablet", "desktop", "web", "speaker", "tv", "car", "watch", "console", "unknown"]
ReasonStart = Literal["trackdone", "clickrow", "fwdbtn", "backbtn", "playbtn", "appload", "remote", "unknown"]
ReasonEnd = Literal["trackdone", "fwdbtn", "backbtn", "endplay", "logout", "remote", "unknown"]


class Device(Struct, omit_defaults=True):
    type: DeviceType = "unknown"
    os: Text | None = None
    app_version: Text | None = None


class Context(Struct, omit_defaults=True):
    """Where and how the listener was; every field is optional because most sources know few of them."""

    utc_offset_min: Annotated[int, Meta(ge=-14 * 60, le=14 * 60)] | None = None
    country: Country | None = None
    region: Text | None = None
    activity: Text | None = None
    network: Text | None = None
    weather: Text | None = None
    temperature_c: Annotated[float, Meta(ge=-90, le=60)] | None = None
    playlist_type: Text | None = None


class Play(Struct, omit_defaults=True):
    """A track was started; ``ms_played`` and ``reason_end`` are null when the source does not know how it ended."""

    track_id: Id
    ms_played: Millis | None = None
    duration_ms: Millis | None = None
    reason_start: ReasonStart | None = None
    reason_end: ReasonEnd | None = None
    playlist_id: Id | None = None


class Skip(Struct, omit_defaults=True):
    """The play ``play_event_id`` was skipped at ``position_ms``."""

    track_id: Id
    play_event_id: Id
    position_ms: Millis | None = None


class TrackAction(Struct, omit_defaults=True):
    track_id: Id


class PlaylistAction(Struct, omit_defaults=True):
    track_id: Id
    playlist_id: Id


class Search(Struct, omit_defaults=True):
    query: Text
    results: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None  # a bigint column holds it


class SessionMark(Struct, omit_defaults=True):
    pass


class LoggedChoice(Struct, omit_defaults=True, kw_only=True):
    """What off-policy evaluation needs of every logged decision."""

    propensity: Probability
    policy: Id
    policy_version: Id


class AdRequest(LoggedChoice, omit_defaults=True, kw_only=True):
    ad_break_id: Id
    placement: Text | None = None


class AdShown(LoggedChoice, omit_defaults=True, kw_only=True):
    ad_id: Id
    campaign_id: Id | None = None
    ad_break_id: Id | None = None
    placement: Text | None = None
    position_ms: Millis | None = None


class RecommendationShown(LoggedChoice, omit_defaults=True, kw_only=True):
    """``propensity`` is the chance of the whole list; ``propensities`` are those of each track in its place, in the
    order of ``track_ids``."""

    track_ids: Annotated[list[Id], Meta(min_length=1, max_length=1000)]
    surface: Text | None = None
    request_id: Id | None = None
    propensities: Annotated[list[Probability], Meta(min_length=1, max_length=1000)] | None = None


class SubscriptionChange(Struct, omit_defaults=True):
    from_plan: Text
    to_plan: Text


PAYLOADS: dict[str, type[Struct]] = {
    "play": Play,
    "skip": Skip,
    "like": TrackAction,
    "unlike": TrackAction,
    "playlist_add": PlaylistAction,
    "playlist_remove": PlaylistAction,
    "search": Search,
    "session_start": SessionMark,
    "session_end": SessionMark,
    "ad_request": AdRequest,
    "ad_impression": AdShown,
    "ad_complete": AdShown,
    "ad_skip": AdShown,
    "ad_click": AdShown,
    "recommendation_shown": RecommendationShown,
    "subscription_change": SubscriptionChange,
}


class Envelope(Struct, kw_only=True, omit_defaults=True, tag_field="event_type"):
    """Fields that every event has; the concrete classes add ``event_type`` (the tag) and ``payload``."""

    event_id: Id
    schema_version: Annotated[int, Meta(ge=1, le=SCHEMA_VERSION)]
    user_id: Id
    occurred_at: UtcTime
    received_at: UtcTime
    session_id: Id | None = None
    device: Device = msgspec.field(default_factory=Device)
    context: Context = msgspec.field(default_factory=Context)
    clock: Literal["event", "synthetic"] = "event"  # synthetic: the source knows the order only, not the time


def _event_class(name: str, payload: type[Struct]) -> type[Envelope]:
    title = "".join(part.capitalize() for part in name.split("_")) + "Event"
    return msgspec.defstruct(
        title, [("payload", payload)], bases=(Envelope,), tag=name, kw_only=True, omit_defaults=True, module=__name__
    )


EVENTS: dict[str, type[Envelope]] = {name: _event_class(name, payload) for name, payload in PAYLOADS.items()}
AnyEvent = Union[tuple(EVENTS.values())]  # type: ignore[valid-type]  # noqa: UP007

_decoder = msgspec.json.Decoder(AnyEvent)
_encoder = msgspec.json.Encoder()


class ContractError(ValueError):
    """A line that breaks the contract; the text is the reason that goes to quarantine."""


def make_event(event_type: str, *, payload: Struct, **envelope: Any) -> Envelope:
    """Build one event of ``event_type``; ``schema_version`` is filled in."""
    return EVENTS[event_type](payload=payload, schema_version=SCHEMA_VERSION, **envelope)


def encode_event(event: Envelope) -> bytes:
    """-> one JSON line without the newline."""
    return _encoder.encode(event)


def decode_event(line: bytes | str, landing_date: date | None = None) -> Envelope:
    """Parse and check one raw line.

    Raises ContractError whose text names the field, for broken JSON, a wrong type, a missing field, an unknown event
    type, a value out of range, or a time that cannot be true. ``landing_date`` is the date= folder of the file: a time
    more than a day after it is a broken clock.
    """
    event = decode_strictly(_decoder, line)
    _check_times(event, landing_date)
    return event


def decode_strictly(decoder: msgspec.json.Decoder, line: bytes | str) -> Any:
    """Decode one line; whatever is wrong with it becomes a ContractError with the reason."""
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        raise ContractError(f"breaks the contract: {error}") from None
    except msgspec.DecodeError as error:
        raise ContractError(f"broken JSON: {error}") from None
    except UnicodeDecodeError as error:
        raise ContractError(f"wrong encoding: not UTF-8 at byte {error.start} of a text value") from None
    except RecursionError:
        raise ContractError("broken JSON: nested too deeply") from None


def _check_times(event: Envelope, landing_date: date | None) -> None:
    if event.occurred_at < EARLIEST:
        raise ContractError(f"time out of range: occurred_at {event.occurred_at.isoformat()} is before 2000")
    if event.occurred_at - event.received_at > CLOCK_SKEW:
        raise ContractError(
            f"time out of range: occurred_at {event.occurred_at.isoformat()} is more than a day after "
            f"received_at {event.received_at.isoformat()}"
        )
    if landing_date is None:
        return
    latest = datetime.combine(landing_date, time.max, UTC) + CLOCK_SKEW
    for name in ("occurred_at", "received_at"):
        when = getattr(event, name)
        if when > latest:
            raise ContractError(
                f"time out of range: {name} {when.isoformat()} is after the landing date {landing_date}"
            )


def json_schema() -> dict[str, Any]:
    """The published JSON Schema (draft 2020-12) of a raw event line."""
    schema = msgspec.json.schema(AnyEvent)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "soundlake raw event",
        "description": f"One line of raw/events/date=YYYY-MM-DD/hour=HH/*.jsonl.gz, schema_version {SCHEMA_VERSION}.",
        **schema,
    }
