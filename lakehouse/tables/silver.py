"""Silver: typed, deduplicated, pseudonymous facts."""

from __future__ import annotations

from lakehouse.acoustic import ACOUSTIC
from lakehouse.contract import Column, Sensitivity, Table, Write, between, one_of
from lakehouse.events import DAY_MS

PERSONAL = Sensitivity.PERSONAL
USER_KEY = Column("user_key", "string", "pseudonym of the listener (HMAC of user_id)", False, PERSONAL)
TRACK_ID = Column("track_id", "string", "track", nullable=False)
CLOCK = Column("clock", "string", "synthetic: only the order is true", False, check=one_of("event", "synthetic"))
TRACK_NAMES = (
    Column("title", "string", "title"),
    Column("artist_id", "string", "main artist"),
    Column("artist_name", "string", "its name"),
    Column("album_id", "string", "album"),
    Column("genre", "string", "genre"),
    Column("subgenre", "string", "genre one level below"),
)

ACOUSTIC_COLUMNS = tuple(
    Column(name, "double", text, check=between(low, high)) for name, (low, high, text) in ACOUSTIC.items()
)

LISTENS = Table(
    "silver.listens",
    "One row per listen: a play with how it ended.",
    columns=(
        Column("event_id", "string", "id of the play event", nullable=False),
        USER_KEY,
        TRACK_ID,
        Column("occurred_at", "timestamp", "when the play began, UTC", nullable=False),
        Column("event_date", "date", "UTC day of occurred_at", nullable=False),
        Column("received_at", "timestamp", "when the last event about it was received, UTC", nullable=False),
        CLOCK,
        Column(
            "local_hour",
            "int",
            "hour at the listener's place, UTC hour if the offset is unknown; null if synthetic",
            check=between(0, 23),
        ),
        Column(
            "local_weekday",
            "int",
            "1 = Monday … 7 = Sunday at the listener's place; null if synthetic",
            check=between(1, 7),
        ),
        Column("ms_played", "bigint", "milliseconds heard", sensitivity=PERSONAL, check=between(0, DAY_MS)),
        Column("duration_ms", "bigint", "length of the track, from the event", check=between(0, DAY_MS)),
        Column("completion", "double", "share of the track that was heard, at most 1", check=between(0, 1)),
        Column("skipped", "boolean", "left by the listener before its end; null if the source does not say"),
        Column("reason_start", "string", "what started it"),
        Column("reason_end", "string", "what ended it"),
        Column("session_id", "string", "session as the client saw it"),
        Column("device_type", "string", "phone, desktop, speaker, …"),
        Column("country", "string", "ISO 3166 code", sensitivity=PERSONAL),
        Column("activity", "string", "what the listener was doing", sensitivity=PERSONAL),
        Column("network", "string", "wifi, cellular, offline"),
        Column("weather", "string", "weather at the listener's place"),
        Column("temperature_c", "double", "temperature at the listener's place, °C"),
        Column("playlist_type", "string", "kind of playlist or surface played from"),
    ),
    key=("event_id",),
    write=Write.MERGE,
    newest_by="received_at",
    partition_by=("event_date",),
    zorder_by=("user_key",),
    retention_days=400,
)

FEEDBACK = Table(
    "silver.feedback",
    "One row per explicit act: like, unlike, playlist add or remove.",
    columns=(
        Column("event_id", "string", "id of the event", nullable=False),
        USER_KEY,
        TRACK_ID,
        Column(
            "action",
            "string",
            "what the listener did",
            False,
            check=one_of("like", "unlike", "playlist_add", "playlist_remove"),
        ),
        Column("playlist_id", "string", "playlist, for playlist acts"),
        Column("occurred_at", "timestamp", "when, UTC", nullable=False),
        Column("event_date", "date", "UTC day of occurred_at", nullable=False),
        Column("received_at", "timestamp", "when it was received, UTC", nullable=False),
    ),
    key=("event_id",),
    write=Write.MERGE,
    newest_by="received_at",
    partition_by=("event_date",),
    zorder_by=("user_key",),
    retention_days=400,
)

ADS = Table(
    "silver.ads",
    "One row per ad event: a request for an ad, an impression, and what the listener made of it.",
    columns=(
        Column("event_id", "string", "id of the event", nullable=False),
        Column(
            "event_type",
            "string",
            "what happened",
            False,
            check=one_of("ad_request", "ad_impression", "ad_complete", "ad_skip", "ad_click"),
        ),
        USER_KEY,
        Column("ad_id", "string", "ad, null for a request"),
        Column("campaign_id", "string", "its campaign"),
        Column("ad_break_id", "string", "break that it was asked for"),
        Column("placement", "string", "where in the app"),
        Column("position_ms", "bigint", "milliseconds into the ad", check=between(0, DAY_MS)),
        Column("propensity", "double", "probability with which the policy chose this", False, check=between(0, 1)),
        Column("policy", "string", "policy that chose", nullable=False),
        Column("policy_version", "string", "its version", nullable=False),
        Column("occurred_at", "timestamp", "when, UTC", nullable=False),
        Column("event_date", "date", "UTC day of occurred_at", nullable=False),
        Column("received_at", "timestamp", "when it was received, UTC", nullable=False),
        CLOCK,
        Column("local_hour", "int", "hour at the listener's place; null if synthetic", check=between(0, 23)),
        Column("local_weekday", "int", "1 = Monday … 7 = Sunday there; null if synthetic", check=between(1, 7)),
        Column("session_id", "string", "session as the client saw it"),
        Column("device_type", "string", "phone, desktop, speaker, …"),
        Column("country", "string", "ISO 3166 code", sensitivity=PERSONAL),
        Column("activity", "string", "what the listener was doing", sensitivity=PERSONAL),
    ),
    key=("event_id",),
    write=Write.MERGE,
    newest_by="received_at",
    partition_by=("event_date",),
    zorder_by=("user_key",),
    retention_days=400,
)

SESSIONS = Table(
    "silver.sessions",
    "One row per listening session: a listener's plays without a gap of 30 minutes.",
    columns=(
        Column("session_key", "string", "id: pseudonym and start", nullable=False),
        USER_KEY,
        Column("started_at", "timestamp", "start of the first play, UTC", nullable=False),
        Column(
            "ended_at", "timestamp", "end of the last play, UTC (its start if its length is unknown)", nullable=False
        ),
        Column("plays", "bigint", "plays", nullable=False, check=between(1, None)),
        Column("skips", "bigint", "plays skipped", nullable=False, check=between(0, None)),
        Column("distinct_tracks", "bigint", "different tracks", nullable=False, check=between(1, None)),
        Column("ms_played", "bigint", "milliseconds heard", check=between(0, None)),
        Column("device_type", "string", "device of the first play"),
        CLOCK,
    ),
    key=("session_key",),
    write=Write.REPLACE,
)

TRACKS = Table(
    "silver.tracks",
    "One row per track: the latest catalogue entry, or a bare id for a track that is known from plays only.",
    columns=(
        TRACK_ID,
        *TRACK_NAMES,
        Column("duration_ms", "bigint", "length, milliseconds", check=between(0, DAY_MS)),
        Column("release_date", "date", "day of release"),
        *ACOUSTIC_COLUMNS,
        Column("key", "int", "pitch class 0-11, -1 unknown", check=between(-1, 11)),
        Column("mode", "int", "1 major, 0 minor", check=between(0, 1)),
        Column("in_catalogue", "boolean", "false: seen in plays, absent from every catalogue dump", nullable=False),
    ),
    key=("track_id",),
    write=Write.REPLACE,
)

ARTISTS = Table(
    "silver.artists",
    "One row per artist: the latest catalogue entry, or what its tracks say of it.",
    columns=(
        Column("artist_id", "string", "artist", nullable=False),
        Column("name", "string", "name"),
        Column("genre", "string", "genre"),
        Column("country", "string", "ISO 3166 code"),
        Column("tracks", "bigint", "tracks in the catalogue", nullable=False, check=between(0, None)),
    ),
    key=("artist_id",),
    write=Write.REPLACE,
)

USERS = Table(
    "silver.users",
    "One row per listener: the latest profile, or a bare pseudonym for a listener without one.",
    columns=(
        USER_KEY,
        Column("signed_up_at", "timestamp", "sign-up, UTC", sensitivity=PERSONAL),
        Column("birth_year", "int", "year of birth", True, PERSONAL, between(1900, 2100)),
        Column("gender", "string", "as the listener gave it", sensitivity=PERSONAL),
        Column("country", "string", "ISO 3166 code", sensitivity=PERSONAL),
        Column("plan", "string", "subscription plan", sensitivity=PERSONAL),
        Column("has_profile", "boolean", "false: seen in events, absent from every user dump", nullable=False),
    ),
    key=("user_key",),
    write=Write.REPLACE,
)

TABLES = (LISTENS, FEEDBACK, ADS, SESSIONS, TRACKS, ARTISTS, USERS)
