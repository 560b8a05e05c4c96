"""Silver assets: facts by landing day, entities as a whole."""

from collections.abc import Callable

import dagster as dg
from pyspark.sql import DataFrame

from assets.describe import asset_arguments, days_of, key_of
from lakehouse.contract import Table
from lakehouse.refine import catalogue as refine_catalogue
from lakehouse.refine import events as refine_events
from lakehouse.refine import sessions as refine_sessions
from lakehouse.refine.fact import Days, Fact
from lakehouse.tables import bronze as b
from lakehouse.tables import silver as s


def _fact(table: Table, fact: Callable[[Days], Fact]) -> dg.AssetsDefinition:
    @dg.asset(**asset_arguments(table, partitioned=True), deps=[key_of(b.EVENTS)])
    def refine(context: dg.AssetExecutionContext) -> Fact:
        return fact(days_of(context))

    return refine


listens = _fact(s.LISTENS, refine_events.listens)
feedback = _fact(s.FEEDBACK, refine_events.feedback)
ads = _fact(s.ADS, refine_events.ads)


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
