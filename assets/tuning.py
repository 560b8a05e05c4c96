"""Settings of the line-up's models, chosen on the validation tail; later trainings use them."""

import dagster as dg

from assets.describe import OWNERS, key_of
from assets.models import tuned_file
from lakehouse.settings import Settings
from lakehouse.tables.gold import SEQUENCES, TRACK_FEATURES


@dg.asset(
    key=["models", "tuned"],
    deps=[key_of(SEQUENCES), key_of(TRACK_FEATURES)],
    description="Settings of the models that SOUNDLAKE_TUNE_MODELS names, searched by Optuna within a budget on the "
    "tail of the training part (the hold-out stays unseen) and kept for every training from then on.",
    group_name="models",
    kinds={"optuna", "mlflow"},
    owners=OWNERS,
    tags={"layer": "models", "domain": "recommendation"},
    code_version="1",
)
def tuned(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from models.lake_data import load
    from models.tune_line_up import keep, kept, tune_line_up
    from models.tuning import Budget

    data, versions = load(settings)
    path = tuned_file(settings)
    found = tune_line_up(
        data,
        settings.tune_models.split(","),
        Budget(settings.tune_trials, settings.tune_seconds),
        settings.tracking_uri,
        settings.experiment,
        versions,
        settings.seed,
        settings.mlflow_artifacts,
        kept(path),
    )
    keep(path, found)
    rows = ["| model | trials | at first | best | settings |", "|---|---|---|---|---|"]
    rows += [
        f"| {name} | {len(one.trials)} | {one.trials[0].value:.4f} | {one.value:.4f} | {one.config} |"
        for name, one in found.items()
    ]
    context.log.info("\n".join(rows))
    return dg.MaterializeResult(
        metadata={
            "summary": f"{len(found)} models",
            "search": dg.MetadataValue.md("\n".join(rows)),
            "kept in": dg.MetadataValue.path(str(path)),
        }
    )
