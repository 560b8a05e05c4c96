"""Gold assets: what models and people read."""

import dagster as dg
from pyspark.sql import DataFrame

from assets.describe import asset_arguments, key_of
from lakehouse.gold import behaviour, features
from lakehouse.tables import gold as g
from lakehouse.tables import silver as s

_LISTENS = dg.AssetIn(key_of(s.LISTENS))
_FEEDBACK = dg.AssetIn(key_of(s.FEEDBACK))
_TRACKS = dg.AssetIn(key_of(s.TRACKS))


@dg.asset(**asset_arguments(g.INTERACTIONS), ins={"listens": _LISTENS, "feedback": _FEEDBACK})
def interactions(listens: DataFrame, feedback: DataFrame) -> DataFrame:
    return behaviour.interactions(listens, feedback)


@dg.asset(**asset_arguments(g.SEQUENCES), ins={"listens": _LISTENS, "feedback": _FEEDBACK})
def sequences(listens: DataFrame, feedback: DataFrame) -> DataFrame:
    return behaviour.sequences(listens, feedback)


@dg.asset(
    **asset_arguments(g.USER_FEATURES),
    ins={
        "listens": _LISTENS,
        "feedback": _FEEDBACK,
        "sessions": dg.AssetIn(key_of(s.SESSIONS)),
        "tracks": _TRACKS,
    },
)
def user_features(listens: DataFrame, feedback: DataFrame, sessions: DataFrame, tracks: DataFrame) -> DataFrame:
    return features.user_features(listens, feedback, sessions, tracks)


@dg.asset(**asset_arguments(g.TRACK_FEATURES), ins={"listens": _LISTENS, "feedback": _FEEDBACK, "tracks": _TRACKS})
def track_features(listens: DataFrame, feedback: DataFrame, tracks: DataFrame) -> DataFrame:
    return features.track_features(listens, feedback, tracks)
