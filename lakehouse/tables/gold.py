"""Gold: what models and people read."""

from __future__ import annotations

from lakehouse.contract import Column, Sensitivity, Table, Write, between
from lakehouse.tables.silver import ACOUSTIC_COLUMNS, CLOCK, TRACK_ID, TRACK_NAMES, USER_KEY

PERSONAL = Sensitivity.PERSONAL
_COUNT = between(0, None)
_SERVED = {"delta.enableChangeDataFeed": "true"}
"""Properties of tables that the online store is made from."""

INTERACTIONS = Table(
    "gold.interactions",
    "One row per listener and track: all that happened between them.",
    columns=(
        USER_KEY,
        TRACK_ID,
        Column("plays", "bigint", "plays", nullable=False, check=_COUNT),
        Column("skips", "bigint", "plays skipped", nullable=False, check=_COUNT),
        Column("completion", "double", "mean share heard, null if unknown", check=between(0, 1)),
        Column("liked", "boolean", "last like or unlike was a like", nullable=False),
        Column(
            "playlist_adds", "bigint", "additions to playlists less removals, at least 0", nullable=False, check=_COUNT
        ),
        Column("first_at", "timestamp", "first act, UTC", nullable=False),
        Column("last_at", "timestamp", "last act, UTC", nullable=False),
    ),
    key=("user_key", "track_id"),
    write=Write.REPLACE,
)

_SESSIONS = "listening session of each play, as in silver.sessions, 0 the listener's first; null without a clock"
_AFTER = (
    "of the track from the start of the play to its next play, at most 24 h; null without a clock or if nobody in the "
    "lake ever did such a thing"
)

SEQUENCES = Table(
    "gold.sequences",
    "One row per listener: all plays in their order, as the models read them; lists of one length, an entry a play.",
    columns=(
        USER_KEY,
        Column("track_ids", "array<string>", "tracks played, oldest first", False, PERSONAL),
        Column("occurred_at", "array<timestamp>", "when, UTC", False, PERSONAL),
        Column("sessions", "array<int>", _SESSIONS, False, PERSONAL),
        Column("local_hours", "array<int>", "hour at the listener's place, null if unknown", False, PERSONAL),
        Column("local_weekdays", "array<int>", "1 = Monday … 7 = Sunday there, null if unknown", False, PERSONAL),
        Column("devices", "array<string>", "device of each play, null if unknown", False),
        Column("activities", "array<string>", "what the listener was doing, null if unknown", False, PERSONAL),
        Column("networks", "array<string>", "wifi, cellular, offline, null if unknown", False),
        Column("countries", "array<string>", "ISO 3166 code, null if unknown", False, PERSONAL),
        Column("weathers", "array<string>", "weather at the listener's place, null if unknown", False),
        Column("temperatures_c", "array<double>", "temperature there, °C, null if unknown", False),
        Column("completions", "array<double>", "share of the track that was heard, null if unknown", False, PERSONAL),
        Column("skipped", "array<boolean>", "left before its end, null if the source does not say", False, PERSONAL),
        Column("liked", "array<boolean>", f"like {_AFTER}", False, PERSONAL),
        Column("added", "array<boolean>", f"addition to a playlist {_AFTER}", False, PERSONAL),
        Column("plays", "bigint", "length of the sequence", nullable=False, check=between(1, None)),
        CLOCK,
    ),
    key=("user_key",),
    write=Write.REPLACE,
)

USER_FEATURES = Table(
    "gold.user_features",
    "One row per listener: how much, how, when and what.",
    columns=(
        USER_KEY,
        Column("plays", "bigint", "plays", nullable=False, check=_COUNT),
        Column("distinct_tracks", "bigint", "different tracks", nullable=False, check=_COUNT),
        Column("distinct_artists", "bigint", "different artists, 0 if unknown", nullable=False, check=_COUNT),
        Column("sessions", "bigint", "sessions", nullable=False, check=_COUNT),
        Column("skip_rate", "double", "plays skipped / plays that say so", check=between(0, 1)),
        Column("completion", "double", "mean share heard", check=between(0, 1)),
        Column("repeat_rate", "double", "plays of a track played before / plays", False, check=between(0, 1)),
        Column("likes", "bigint", "likes", nullable=False, check=_COUNT),
        Column("top_artist_id", "string", "artist played most", sensitivity=PERSONAL),
        Column("top_genre", "string", "genre played most", sensitivity=PERSONAL),
        Column("main_device", "string", "device used most"),
        Column("first_at", "timestamp", "first play, UTC", nullable=False, sensitivity=PERSONAL),
        Column("last_at", "timestamp", "last play, UTC", nullable=False, sensitivity=PERSONAL),
    ),
    key=("user_key",),
    write=Write.REPLACE,
    properties=_SERVED,
)

TRACK_FEATURES = Table(
    "gold.track_features",
    "One row per track of the catalogue: what it is and how it is heard.",
    columns=(
        TRACK_ID,
        *TRACK_NAMES,
        Column("duration_ms", "bigint", "length, milliseconds", check=_COUNT),
        *ACOUSTIC_COLUMNS,
        Column("plays", "bigint", "plays", nullable=False, check=_COUNT),
        Column("listeners", "bigint", "different listeners", nullable=False, check=_COUNT),
        Column("skip_rate", "double", "plays skipped / plays that say so", check=between(0, 1)),
        Column("likes", "bigint", "likes", nullable=False, check=_COUNT),
        Column(
            "plays_last_7d", "bigint", "plays in the 7 days before the lake's newest play", nullable=False, check=_COUNT
        ),
        Column("first_seen", "timestamp", "first play, UTC"),
        Column("last_seen", "timestamp", "last play, UTC"),
    ),
    key=("track_id",),
    write=Write.REPLACE,
    min_rows=1,
    properties=_SERVED,
)

LISTENER_MEMORY = Table(
    "gold.listener_memory",
    "One row per listener and embedding space: what ended sessions left in the memory of a session model.",
    columns=(
        USER_KEY,
        Column("space", "string", "the trained model whose embeddings the vector is made of", nullable=False),
        Column("vector", "array<float>", "decayed average of the means of sessions, not scaled", False, PERSONAL),
        Column("sessions", "int", "sessions in it", nullable=False, check=between(1, None)),
        Column("last_session", "int", "number of the latest of them, 0 the listener's first", False, check=_COUNT),
        Column("plays", "bigint", "plays they had, of tracks that the model knows", False, check=between(1, None)),
        Column(
            "fingerprint", "string", "of those plays: tracks and times; another one, and the row is made anew", False
        ),
        Column("as_of", "timestamp", "start of the latest play in it, UTC; null without a clock", sensitivity=PERSONAL),
        Column("updated_at", "timestamp", "when the row was made, UTC", nullable=False),
    ),
    key=("user_key", "space"),
    write=Write.MERGE,
    newest_by="updated_at",
    zorder_by=("user_key",),
)

TABLES = (INTERACTIONS, SEQUENCES, USER_FEATURES, TRACK_FEATURES, LISTENER_MEMORY)
