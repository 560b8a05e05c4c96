"""Cross-session memory: the session model, and what it remembers of each listener, updated when sessions end."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from pyspark.sql import DataFrame

from assets.describe import OWNERS, asset_arguments, key_of
from assets.models import given_settings, logged_progress
from lakehouse import arrow
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from lakehouse.tables.gold import LISTENER_MEMORY, SEQUENCES, TRACK_FEATURES
from lakehouse.tables.silver import USERS

SPACES_KEPT = 3
"""Rows of older models are deleted: nothing reads them. The table's earlier versions still have them."""

SKEW = timedelta(minutes=10)
"""A clock that is ahead by less than this is no error."""


@dg.asset(
    key=["models", "session_model"],
    deps=[key_of(SEQUENCES), key_of(TRACK_FEATURES), key_of(USERS)],
    description="The next play from the current session and a stored memory of the sessions before it: judged, refit "
    "on everything, registered under a name of its own.",
    group_name="models",
    kinds={"tensorflow", "mlflow"},
    owners=OWNERS,
    tags={"layer": "models", "domain": "recommendation"},
    code_version="1",
)
def session_model(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from models.lake_data import load
    from models.recommend.sequence import SessionConfig
    from models.registry import name_of
    from models.train_session import METRIC, train_session

    config = SessionConfig(seed=settings.seed % 2**31, **given_settings(settings))
    data, versions = load(settings)
    result = train_session(
        data,
        config,
        settings.tracking_uri,
        settings.experiment,
        name_of(settings.registered_model, "session"),
        versions,
        logged_progress(context),
        settings.mlflow_artifacts,
    )
    value = result.evaluation.metrics[METRIC]
    verdict = "is the champion" if result.promoted else "ranks worse than popularity and is not used"
    return dg.MaterializeResult(
        metadata={
            "summary": f"version {result.version} {verdict}: {METRIC} {value}",
            "registered version": result.version,
            "MLflow run": result.run_id,
            "space": result.space,
            METRIC: value.value,
            "less popularity": f"{result.gain:+}",
            "seconds to fit": result.fit_seconds,
        }
    )


@dg.asset(**asset_arguments(LISTENER_MEMORY), deps=[key_of(SEQUENCES), session_model])
def listener_memory(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> DataFrame:
    from models.lake_memory import pending
    from models.registry import name_of
    from models.train_session import champion_session, spaces

    name = name_of(settings.registered_model, "session")
    with tempfile.TemporaryDirectory(prefix="soundlake-session-") as folder:
        saved = champion_session(settings.tracking_uri, name, Path(folder))
    if saved is None:
        context.log.warning(
            "no session model has been trained yet: nothing is remembered until the job `train` has run"
        )
        return lake.read(LISTENER_MEMORY).limit(0)
    kept = dict.fromkeys([saved.space.name, *spaces(settings.tracking_uri, name)[:SPACES_KEPT]])
    _forget_other_spaces(lake, list(kept))
    rows = pending(settings, saved.space, datetime.now(UTC))
    context.add_output_metadata({"space": saved.space.name, "listeners updated": rows.num_rows})
    if not rows.num_rows:
        return lake.read(LISTENER_MEMORY).limit(0)
    return lake.spark.createDataFrame(rows)


def _forget_other_spaces(lake: Lake, kept: list[str]) -> None:
    import pyarrow.compute as pc

    there = (
        pc.unique(arrow.read(lake.settings, LISTENER_MEMORY, ["space"])["space"])
        if lake.state(LISTENER_MEMORY).rows
        else []
    )
    old = sorted({str(space) for space in there} - set(kept))
    if old:
        lake.delta(LISTENER_MEMORY).delete(f"space IN ({', '.join(repr(space) for space in old)})")


@dg.asset_check(
    asset=listener_memory,
    blocking=True,
    description="Every vector is of finite numbers and of one width in its space, and not all zeros.",
)
def vectors_are_finite(lake: dg.ResourceParam[Lake]) -> dg.AssetCheckResult:
    from models.lake_memory import bad_vectors

    bad = bad_vectors(lake.settings)
    return dg.AssetCheckResult(
        passed=not bad,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(bad)} rows have a vector that is not" + (f"; first: {bad[0]}" if bad else ""),
        metadata={"rows": dg.MetadataValue.json(bad[:20])},
    )


@dg.asset_check(asset=listener_memory, blocking=True, description="No memory is of a time that has not come.")
def not_of_the_future(lake: dg.ResourceParam[Lake]) -> dg.AssetCheckResult:
    from models.lake_memory import from_the_future

    limit = datetime.now(UTC) + SKEW
    late = from_the_future(lake.settings, limit)
    return dg.AssetCheckResult(
        passed=not late,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(late)} rows are of plays after {limit:%Y-%m-%d %H:%M} UTC"
        + (f"; first: {late[0]}" if late else ""),
        metadata={"rows": dg.MetadataValue.json(late[:20])},
    )
