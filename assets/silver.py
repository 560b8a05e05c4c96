"""Silver assets: facts by landing day, entities as a whole."""

import dagster as dg
from pyspark.sql import DataFrame

from assets.describe import asset_arguments, days_of, key_of
from lakehouse.refine import ads as refine_ads
from lakehouse.refine import catalogue as refine_catalogue
from lakehouse.refine import events as refine_events
from lakehouse.refine import sessions as refine_sessions
from lakehouse.tables import bronze as b
from lakehouse.tables import silver as s


@dg.asset(
    **asset_arguments(s.LISTENS, partitioned=True),
    ins={"events": dg.AssetIn(key_of(b.EVENTS), metadata={"days_around": refine_events.LOOKBACK_DAYS})},
)
def listens(context: dg.AssetExecutionContext, events: DataFrame) -> DataFrame:
    return refine_events.listens(events, refine_events.landed(days_of(context)))


@dg.asset(**asset_arguments(s.FEEDBACK, partitioned=True), ins={"events": dg.AssetIn(key_of(b.EVENTS))})
def feedback(events: DataFrame) -> DataFrame:
    return refine_events.feedback(events)


@dg.asset(**asset_arguments(s.ADS, partitioned=True), ins={"events": dg.AssetIn(key_of(b.EVENTS))})
def ads(events: DataFrame) -> DataFrame:
    return refine_ads.ads(events)


@dg.asset(**asset_arguments(s.SESSIONS), ins={"listens": dg.AssetIn(key_of(s.LISTENS))})
def sessions(listens: DataFrame) -> DataFrame:
    return refine_sessions.sessions(listens)


@dg.asset(
    **asset_arguments(s.TRACKS),
    ins={"catalogue": dg.AssetIn(key_of(b.CATALOGUE)), "listens": dg.AssetIn(key_of(s.LISTENS))},
)
def tracks(catalogue: DataFrame, listens: DataFrame) -> DataFrame:
    return refine_catalogue.tracks(catalogue, listens)


@dg.asset(
    **asset_arguments(s.ARTISTS),
    ins={"catalogue": dg.AssetIn(key_of(b.CATALOGUE)), "tracks": dg.AssetIn(key_of(s.TRACKS))},
)
def artists(catalogue: DataFrame, tracks: DataFrame) -> DataFrame:
    return refine_catalogue.artists(catalogue, tracks)


@dg.asset(
    **asset_arguments(s.USERS),
    ins={"catalogue": dg.AssetIn(key_of(b.CATALOGUE)), "listens": dg.AssetIn(key_of(s.LISTENS))},
)
def users(catalogue: DataFrame, listens: DataFrame) -> DataFrame:
    return refine_catalogue.users(catalogue, listens)
