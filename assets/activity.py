"""The classifier of what a listener is doing, where no event says it."""

import dagster as dg

from assets.describe import OWNERS, key_of
from assets.models import git_revision
from lakehouse.settings import Settings
from lakehouse.tables.gold import SEQUENCES, TRACK_FEATURES
from lakehouse.tables.silver import USERS


@dg.asset(
    key=["models", "activity"],
    deps=[key_of(SEQUENCES), key_of(TRACK_FEATURES), key_of(USERS)],
    description="What a listener is doing (work, exercise, commute, …), recognised from moment, session and sound "
    "with calibrated probabilities; registered, and promoted unless it is worse than the champion.",
    group_name="models",
    kinds={"xgboost", "mlflow"},
    owners=OWNERS,
    tags={"layer": "models", "domain": "context"},
    code_version="1",
)
def activity(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from models.lake_data import load
    from models.registry import name_of
    from models.train_activity import train_activity

    data, versions = load(settings)
    try:
        found = train_activity(
            data,
            settings.tracking_uri,
            settings.experiment,
            name_of(settings.registered_model, "activity"),
            versions,
            git_revision(),
            settings.seed,
            settings.mlflow_artifacts,
        )
    except ValueError as error:  # a source without a clock, or whose events never say it: nothing to learn
        context.log.info(str(error))
        return dg.MaterializeResult(metadata={"summary": "not trained", "reason": str(error)})
    return dg.MaterializeResult(
        metadata={
            "summary": f"version {found.version}: accuracy {found.metrics['accuracy']:.3f}",
            "registered version": found.version,
            "MLflow run": found.run_id,
            "decision": found.reason,
            **found.metrics,
            "report": dg.MetadataValue.md(found.report),
        }
    )
