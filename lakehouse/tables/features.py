"""Gold tables of the feature views: one row per entity, the values as of one time."""

from __future__ import annotations

from lakehouse.contract import Column, Sensitivity, Table, Write, between
from lakehouse.features.declare import Feature, FeatureView
from lakehouse.features.views import VIEWS

_KEY_TYPES = {"local_hour": "int", "hour_of_week": "int"}
_KEYS = {
    "user_key": "pseudonym of the listener (HMAC of user_id)",
    "track_id": "track",
    "artist_id": "artist",
    "genre": "genre",
    "country": "ISO 3166 code",
    "activity": "what the listener was doing",
    "device_type": "phone, desktop, speaker, …",
    "local_hour": "hour at the listener's place",
    "hour_of_week": "0 = Monday 0-1 h … 167 = Sunday 23-24 h at the listener's place",
}


def table_of(view: FeatureView) -> Table:
    """The contract of ``gold.<view>``."""
    return Table(
        f"gold.{view.name}",
        view.description,
        columns=(
            *(_key_column(name) for name in view.keys),
            Column("as_of", "timestamp", "the values are as of just before this time, UTC", nullable=False),
            *(_feature_column(feature, view.is_personal) for feature in view.features),
        ),
        key=view.keys,
        write=Write.REPLACE,
        properties={"delta.enableChangeDataFeed": "true", "soundlake.ttl_seconds": str(int(view.ttl.total_seconds()))},
    )


def _key_column(name: str) -> Column:
    sensitivity = Sensitivity.PERSONAL if name == "user_key" else Sensitivity.NONE
    return Column(name, _KEY_TYPES.get(name, "string"), _KEYS[name], nullable=False, sensitivity=sensitivity)


def _feature_column(feature: Feature, personal: bool) -> Column:
    single = feature.size == 1 and feature.kind != "ids"
    bounded = single and (feature.low is not None or feature.high is not None)
    return Column(
        feature.name,
        feature.sql_type,
        feature.description,
        nullable=False,
        sensitivity=Sensitivity.PERSONAL if personal else Sensitivity.NONE,
        check=between(feature.low, feature.high) if bounded else None,
    )


FEATURE_TABLES: dict[str, Table] = {view.name: table_of(view) for view in VIEWS}
TABLES = tuple(FEATURE_TABLES.values())
