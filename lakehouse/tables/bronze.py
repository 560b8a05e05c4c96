"""Bronze: what landed, line by line, parsed but not changed."""

from __future__ import annotations

from lakehouse.contract import Column, Sensitivity, Table, Write, one_of
from lakehouse.events import PAYLOADS

PAYLOAD_FIELDS: dict[str, str] = {
    "track_id": "string",
    "ms_played": "bigint",
    "duration_ms": "bigint",
    "reason_start": "string",
    "reason_end": "string",
    "playlist_id": "string",
    "play_event_id": "string",
    "position_ms": "bigint",
    "query": "string",
    "results": "bigint",
    "propensity": "double",
    "policy": "string",
    "policy_version": "string",
    "ad_id": "string",
    "campaign_id": "string",
    "ad_break_id": "string",
    "placement": "string",
    "track_ids": "array<string>",
    "surface": "string",
    "from_plan": "string",
    "to_plan": "string",
    "request_id": "string",
    "propensities": "array<double>",
}
"""All payload fields of all event types, as one struct: a field an event type lacks is null."""

CONTEXT_FIELDS: dict[str, tuple[str, str]] = {
    "utc_offset_min": ("int", "listener's offset from UTC, minutes"),
    "country": ("string", "ISO 3166 code"),
    "region": ("string", "region within the country"),
    "activity": ("string", "what the listener was doing, where the client says so"),
    "network": ("string", "wifi, cellular, offline"),
    "weather": ("string", "weather at the listener's place"),
    "temperature_c": ("double", "temperature at the listener's place, °C"),
    "playlist_type": ("string", "kind of playlist or surface played from"),
}

_WRITES = {"delta.setTransactionRetentionDuration": "interval 30 days"}
"""Every bin of files that is written leaves a transaction id in the log."""

_SOURCE = (
    Column("landing_date", "date", "date= folder of the raw file: the day it arrived", nullable=False),
    Column("source_file", "string", "path of the raw file below the lake", nullable=False),
    Column("line", "bigint", "line number in the file, from 1", nullable=False),
)

EVENTS = Table(
    "bronze.events",
    "Every good raw event line, parsed; the raw line is kept beside it.",
    columns=(
        Column("event_id", "string", "id given by the client; one event may arrive twice", nullable=False),
        Column("event_type", "string", "what happened", nullable=False, check=one_of(*PAYLOADS)),
        Column("schema_version", "int", "version of the event contract", nullable=False),
        Column("user_id", "string", "listener's id", nullable=False, sensitivity=Sensitivity.IDENTIFYING),
        Column("user_key", "string", "pseudonym (HMAC of user_id)", nullable=False, sensitivity=Sensitivity.PERSONAL),
        Column("session_id", "string", "session as the client saw it"),
        Column("occurred_at", "timestamp", "when it happened, UTC", nullable=False),
        Column("received_at", "timestamp", "when the service received it, UTC", nullable=False),
        Column("clock", "string", "synthetic: only the order is true", False, check=one_of("event", "synthetic")),
        Column("device_type", "string", "phone, desktop, speaker, …"),
        Column("device_os", "string", "operating system"),
        Column("app_version", "string", "client version"),
        *(Column(name, kind, text) for name, (kind, text) in CONTEXT_FIELDS.items()),
        Column(
            "payload",
            "struct<" + ", ".join(f"{k}: {v}" for k, v in PAYLOAD_FIELDS.items()) + ">",
            "fields of the event type; those of other types are null",
        ),
        Column("raw", "string", "the line as it came", nullable=False, sensitivity=Sensitivity.IDENTIFYING),
        *_SOURCE,
    ),
    key=("source_file", "line"),
    write=Write.APPEND_ONCE,
    partition_by=("landing_date",),
    run_partition="landing_date",
    retention_days=400,
    properties=_WRITES,
)

CATALOGUE = Table(
    "bronze.catalogue",
    "Every good catalogue line (tracks, artists, users) of every dump, as it came.",
    columns=(
        Column("entity", "string", "tracks, artists or users", False, check=one_of("tracks", "artists", "users")),
        Column("entity_id", "string", "id of the track, artist or user", False, Sensitivity.IDENTIFYING),
        Column("user_key", "string", "pseudonym, for users", sensitivity=Sensitivity.PERSONAL),
        Column("raw", "string", "the line as it came", nullable=False, sensitivity=Sensitivity.IDENTIFYING),
        *_SOURCE,
    ),
    key=("source_file", "line"),
    write=Write.APPEND_ONCE,
    partition_by=("entity", "landing_date"),
    run_partition="landing_date",
    properties=_WRITES,
)

QUARANTINE = Table(
    "bronze.quarantine",
    "Every raw line that could not be used, with the reason; `soundlake quarantine replay` tries them again.",
    columns=(
        Column("entity", "string", "events, tracks, artists or users", nullable=False),
        Column("reason", "string", "why the line can not be used", nullable=False),
        Column("status", "string", "open until a replay accepts the line", False, check=one_of("open", "resolved")),
        Column("raw", "string", "the line, undecodable bytes escaped", sensitivity=Sensitivity.IDENTIFYING),
        Column("seen_at", "timestamp", "when it was quarantined", nullable=False),
        Column("resolved_at", "timestamp", "when a replay accepted it or found it gone"),
        *_SOURCE,
    ),
    key=("source_file", "line"),
    write=Write.MERGE,
    newest_by="seen_at",
    run_partition="landing_date",
    retention_days=400,
)

FILES = Table(
    "bronze.files",
    "The ledger: every raw file that has been read to its end, with its counts.",
    columns=(
        Column("source_file", "string", "path of the raw file below the lake", nullable=False),
        Column("entity", "string", "events, tracks, artists or users", nullable=False),
        Column("landing_date", "date", "date= folder of the raw file", nullable=False),
        Column("bytes", "bigint", "size when it was read", nullable=False),
        Column("version", "string", "modification time or ETag when it was read", nullable=False),
        Column("good", "bigint", "lines accepted", nullable=False),
        Column("bad", "bigint", "lines quarantined and still open", nullable=False),
        Column("ingested_at", "timestamp", "when the file was finished", nullable=False),
    ),
    key=("source_file",),
    write=Write.MERGE,
    newest_by="ingested_at",
    run_partition="landing_date",
)

TABLES = (EVENTS, CATALOGUE, QUARANTINE, FILES)
