"""Feature views as gold assets: one table each, the values as of the last full hour that the events know of."""

from datetime import datetime
from typing import Any

import dagster as dg
from pyspark.sql import DataFrame

from assets.describe import asset_arguments, key_of
from lakehouse.features.batch import as_of_table, newest_hour
from lakehouse.features.declare import FeatureView
from lakehouse.features.facts import STREAMS
from lakehouse.features.views import VIEWS
from lakehouse.lake import Lake
from lakehouse.tables import get_table
from lakehouse.tables.features import FEATURE_TABLES
from lakehouse.tables.silver import LISTENS, TRACKS


class AsOf(dg.Config):
    as_of: str | None = None
    """ISO time with zone; unset: the full hour after the newest event received."""


def feature_asset(view: FeatureView) -> dg.AssetsDefinition:
    """The asset of ``gold.<view>``."""
    arguments = asset_arguments(FEATURE_TABLES[view.name])
    arguments["owners"] = [view.owner]
    arguments["tags"] = {**arguments["tags"], "features": view.name}
    arguments["metadata"] = {
        **arguments["metadata"],
        "features": len(view.features),
        "horizon": f"{view.horizon / 86_400_000:g} days",
        "time to live": str(view.ttl),
    }
    sources = dict.fromkeys((LISTENS.name, TRACKS.name, *view.sources))

    @dg.asset(**arguments, ins={name.replace(".", "_"): dg.AssetIn(key_of(get_table(name))) for name in sources})
    def features(
        context: dg.AssetExecutionContext, config: AsOf, lake: dg.ResourceParam[Lake], **frames: Any
    ) -> DataFrame:
        tables = {name: frames[name.replace(".", "_")] for name in sources}
        streams = [tables[name] for name in sources if name in STREAMS and "event_date" in tables[name].columns]
        as_of = datetime.fromisoformat(config.as_of) if config.as_of else newest_hour(*streams)
        context.add_output_metadata({"as of": dg.MetadataValue.timestamp(as_of)})
        rows = max(lake.state(get_table(name)).rows for name in view.sources)
        return as_of_table(view, tables, as_of, rows)

    return features


FEATURE_ASSETS = [feature_asset(view) for view in VIEWS]
