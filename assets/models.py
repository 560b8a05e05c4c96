"""Model assets: the candidate that training registers, and the champion that the gate lets through."""

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import dagster as dg

from assets.describe import DAILY, OWNERS, key_of
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from lakehouse.tables.gold import SEQUENCES, TRACK_FEATURES
from lakehouse.tables.silver import USERS

_TAGS = {"layer": "models", "domain": "recommendation"}
METRICS = ("discover_ndcg_at_10", "discover_recall_at_100", "next_ndcg_at_10", "next_recall_at_10")
PLOTS = {
    "models side by side": "comparison.png",
    "coverage against accuracy": "tradeoff.png",
    "learning curves": "learning_curves.png",
    "by kind of listener": "segments_user.png",
    "by kind of track": "segments_item.png",
}
"""Title on the asset's page -> file of the report."""


def git_revision() -> str:
    """Revision of the code that trains, "" outside a checkout."""
    folder = Path(__file__).parent
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else ""


def tuned_file(settings: Settings) -> Path:
    """Where the job `tune` keeps the settings it chose."""
    return settings.state_dir / "tuned.json"


def given_settings(settings: Settings) -> dict[str, int]:
    """What SOUNDLAKE_TRAIN_* say of every neural model; what they leave open is not in it."""
    said = {"epochs": settings.train_epochs, "dim": settings.train_dim}
    return {name: value for name, value in said.items() if value is not None}


def logged_progress(context: dg.AssetExecutionContext) -> Callable[[Mapping[str, object]], None]:
    """Writes what a training reports to the run's log, a line each time."""

    def progress(values: Mapping[str, object]) -> None:
        context.log.info(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()))

    return progress


def line_up(settings: Settings):
    """The models to train and their settings, as SOUNDLAKE_TRAIN_* say."""
    from models.lineup import NEURAL, LineupConfig
    from models.tune_line_up import kept

    config, given = LineupConfig(), given_settings(settings)
    two_stage = config.two_stage
    if two_stage.sequence is not None:
        two_stage = replace(two_stage, sequence=replace(two_stage.sequence, **given))
    if settings.train_moments:
        two_stage = two_stage.with_moments(settings.train_moments)
    return replace(
        config,
        baselines=kept(tuned_file(settings)),
        names=tuple(settings.train_models.split(",")) if settings.train_models else config.names,
        two_stage=two_stage,
        **{name: replace(getattr(config, name), **given) for name in NEURAL},
    )


def keep_report(settings: Settings, files: dict[str, bytes]) -> Path:
    """Write the report of the latest training to the state folder; -> its page."""
    folder = settings.state_dir / "reports" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / "report.html"


@dg.asset(
    key=["models", "candidate"],
    deps=[key_of(SEQUENCES), key_of(TRACK_FEATURES), key_of(USERS)],
    description="Recommenders trained and judged side by side on one hold-out, each registered under its own name; the "
    "better of the two-stage ones, refit on everything, is the challenger for listeners.",
    group_name="models",
    kinds={"tensorflow", "xgboost", "spark", "mlflow"},
    owners=OWNERS,
    tags=_TAGS,
    code_version="3",
)
def candidate(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.MaterializeResult:
    from models.evaluation import report
    from models.lake_data import load
    from models.train import TrainConfig, train_and_evaluate

    data, versions = load(settings)
    with tempfile.TemporaryDirectory(prefix="soundlake-train-") as folder:
        result = train_and_evaluate(
            data,
            TrainConfig(line_up(settings)),
            Path(folder),
            settings.tracking_uri,
            settings.experiment,
            settings.registered_model,
            versions,
            git_revision(),
            settings.seed,
            logged_progress(context),
            settings.mlflow_artifacts,
            lake.spark,
        )
    page = keep_report(settings, result.report)
    flat = result.evaluations[-1].flat()
    return dg.MaterializeResult(
        metadata={
            "summary": f"version {result.version}, {result.shipped}: {METRICS[0]} {flat[METRICS[0]]:.4f}",
            "shipped": result.shipped,
            "registered version": result.version,
            "MLflow run": result.run_id,
            **{name: flat[name] for name in METRICS if name in flat},
            "comparison": dg.MetadataValue.md(result.markdown()),
            **{
                title: dg.MetadataValue.md(f"![{title}]({report.data_uri(result.report[name])})")
                for title, name in PLOTS.items()
                if name in result.report
            },
            "report": dg.MetadataValue.path(str(page)),
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
    from models.gate import decide_and_promote, promote_line_up
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
        others = promote_line_up(uri, name, hold_out)
        metadata["others"] = dg.MetadataValue.md("\n".join(f"- {who}: {d.reason}" for who, d in others.items()))
    current = aliased_version(uri, name, CHAMPION)
    if current is None:
        raise dg.Failure(
            f"There is no champion to serve. {metadata.get('decision', 'Nothing was trained: run the job `train`.')}",
            allow_retries=False,
        )
    return dg.MaterializeResult(metadata={"summary": f"version {current}", "champion version": current, **metadata})
