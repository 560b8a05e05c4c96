"""Model assets: the candidate that training registers, and the champion that the gate lets through."""

import base64
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import dagster as dg

from assets.describe import DAILY, OWNERS, key_of
from lakehouse.settings import Settings
from lakehouse.tables.gold import SEQUENCES, TRACK_FEATURES
from lakehouse.tables.silver import USERS

_TAGS = {"layer": "models", "domain": "recommendation"}
METRICS = ("discover_ndcg_at_10", "discover_recall_at_100", "next_ndcg_at_10", "next_recall_at_10")


def git_revision() -> str:
    """Revision of the code that trains, "" outside a checkout."""
    folder = Path(__file__).parent
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else ""


@dg.asset(
    key=["models", "candidate"],
    deps=[key_of(SEQUENCES), key_of(TRACK_FEATURES), key_of(USERS)],
    description="A two-tower retrieval model, trained, judged beside popularity and EASE on one hold-out, refit on "
    "everything and registered in MLflow as challenger.",
    group_name="models",
    kinds={"tensorflow", "mlflow", "python"},
    owners=OWNERS,
    tags=_TAGS,
    code_version="1",
)
def candidate(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from models.evaluation import report
    from models.lake_data import load
    from models.train import TrainConfig, train_and_evaluate

    data, versions = load(settings)
    config = TrainConfig()
    overrides = {"epochs": settings.train_epochs, "dim": settings.train_dim}
    two_tower = replace(config.two_tower, **{k: v for k, v in overrides.items() if v is not None})

    def progress(values) -> None:
        context.log.info(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()))

    with tempfile.TemporaryDirectory(prefix="soundlake-train-") as folder:
        result = train_and_evaluate(
            data,
            replace(config, two_tower=two_tower),
            Path(folder),
            settings.tracking_uri,
            settings.experiment,
            settings.registered_model,
            versions,
            git_revision(),
            settings.seed,
            progress,
            settings.mlflow_artifacts,
        )
    flat = result.evaluations[-1].flat()
    plot = base64.b64encode(report.comparison_plot(result.evaluations)).decode()
    return dg.MaterializeResult(
        metadata={
            "summary": f"version {result.version}: {METRICS[0]} {flat[METRICS[0]]:.4f}",
            "registered version": result.version,
            "MLflow run": result.run_id,
            **{name: flat[name] for name in METRICS if name in flat},
            "comparison": dg.MetadataValue.md(result.markdown()),
            "plot": dg.MetadataValue.md(f"![models side by side](data:image/png;base64,{plot})"),
            "hold-out": result.hold_out.description,
            "model card": dg.MetadataValue.md(result.card),
            "seconds to fit": dg.MetadataValue.json(result.fit_seconds),
        }
    )


@dg.asset(
    key=["models", "champion"],
    deps=[candidate],
    description="The registered version that users are to be served: moves only through the gate, which writes why.",
    group_name="models",
    kinds={"mlflow", "python"},
    owners=OWNERS,
    tags=_TAGS,
    freshness_policy=DAILY,
    code_version="1",
)
def champion(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from models.evaluation.split import split
    from models.gate import decide_and_promote
    from models.lake_data import load
    from models.registry import CHALLENGER, CHAMPION, aliased_version

    uri, name = settings.tracking_uri, settings.registered_model
    challenger = aliased_version(uri, name, CHALLENGER)
    metadata: dict = {}
    if challenger is not None:
        data, _ = load(settings)
        _, hold_out = split(data)
        decision = decide_and_promote(uri, name, challenger, hold_out)
        context.log.info(decision.reason)
        metadata = {
            "decision": decision.reason,
            "promoted": decision.promote,
            "paired difference": decision.interval.value,
            "judged version": challenger,
        }
    current = aliased_version(uri, name, CHAMPION)
    if current is None:
        raise dg.Failure(
            f"There is no champion to serve. {metadata.get('decision', 'Nothing was trained: run the job `train`.')}",
            allow_retries=False,
        )
    return dg.MaterializeResult(metadata={"summary": f"version {current}", "champion version": current, **metadata})
