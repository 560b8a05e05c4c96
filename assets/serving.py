"""Serving assets: the champion in the model server's folder, checked there, then switched to."""

from dataclasses import asdict

import dagster as dg
import numpy as np

from assets.describe import DAILY, OWNERS
from assets.models import champion
from lakehouse.settings import Settings
from serving.process import RunningServer

GATE_USERS = 100
GATE_TOP = 10
_ARGUMENTS = {
    "group_name": "serving",
    "owners": OWNERS,
    "tags": {"layer": "serving", "domain": "recommendation"},
    "code_version": "1",
}


def champion_version(settings: Settings) -> int:
    from models.registry import CHAMPION, aliased_version

    version = aliased_version(settings.tracking_uri, settings.registered_model, CHAMPION)
    if version is None:
        raise dg.Failure("There is no champion to serve: run the job `train`.", allow_retries=False)
    return version


@dg.asset(
    key=["serving", "exported_model"],
    deps=[champion],
    description="The champion as a SavedModel version folder that the model server can load.",
    kinds={"tensorflow"},
    **_ARGUMENTS,
)
def exported_model(settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:
    from serving.exported import export_champion

    version = champion_version(settings)
    folder = export_champion(settings, version)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return dg.MaterializeResult(
        metadata={
            "summary": f"version {version}, {size / 1e6:.1f} MB",
            "version": version,
            "dagster/uri": str(folder),
            "bytes": size,
        }
    )


@dg.asset_check(asset=exported_model, blocking=True, description="The gate promoted this version, and wrote why.")
def quality_gate(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    import mlflow

    client = mlflow.MlflowClient(settings.tracking_uri, settings.tracking_uri)
    version = champion_version(settings)
    tags = client.get_model_version(settings.registered_model, str(version)).tags
    reason = tags.get("gate.reason", "no gate decision is written on this version: run the job `train`")
    return dg.AssetCheckResult(
        passed=tags.get("gate.promoted") == "true", description=reason, metadata={"version": version, "reason": reason}
    )


@dg.asset_check(
    asset=exported_model,
    blocking=True,
    description=f"The model server loads the version beside the served one and answers {GATE_USERS} users as the "
    "exported model does in this process.",
)
def infra_gate(
    context: dg.AssetCheckExecutionContext,
    settings: dg.ResourceParam[Settings],
    model_server: dg.ResourceParam[RunningServer],
) -> dg.AssetCheckResult:
    from serving.gate import sample_requests
    from serving.lake_model import publisher

    version = champion_version(settings)
    folder = settings.models_dir / settings.model_name / str(version)
    requests, ids, scores = sample_requests(settings, folder, GATE_USERS, GATE_TOP)
    publishing = publisher(settings, model_server, context.log.info)
    try:
        publishing.stage(version)
        result = publishing.verify(version, requests, ids, scores)
    except Exception as error:  # whatever the server says is the check's result; the old version serves on
        return dg.AssetCheckResult(passed=False, description=f"version {version} can not be served: {error}")
    if not result.ok:
        publishing.unstage()
    return dg.AssetCheckResult(
        passed=result.ok,
        description=f"{result.agreed} of {result.asked} answers agree; {result.first_disagreement or 'no difference'}",
        metadata={
            "asked": result.asked,
            "agreed": result.agreed,
            "worst score difference": float(np.nan_to_num(result.worst_score_difference)),
            "server": model_server.address,
            "embedded": model_server.embedded,
        },
    )


@dg.asset(
    key=["serving", "served_version"],
    deps=[exported_model, dg.AssetKey(["serving", "item_index"])],
    description="The version that answers users: label `stable` of the model server. After both gates a new version "
    "answers a share of the listeners first, and is promoted or rolled back by their traffic; where no API runs it is "
    "promoted at once.",
    kinds={"tensorflow"},
    freshness_policy=DAILY,
    retry_policy=dg.RetryPolicy(max_retries=1, delay=5),
    **_ARGUMENTS,
)
def served_version(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    model_server: dg.ResourceParam[RunningServer],
) -> dg.MaterializeResult:
    from serving.lake_model import canary_trial
    from serving.retire import retire

    version = champion_version(settings)
    trial = canary_trial(settings, model_server, context.log.info)
    decision = trial.decide(version)
    context.log.info("version %d: %s (%s)", version, decision.action, decision.reason)
    trial.carry_out(decision)
    gone = retire(trial.publisher, settings.keep_versions)
    config = trial.publisher.current()
    stable = config.labels.get("stable")
    return dg.MaterializeResult(
        metadata={
            "summary": f"version {stable} is stable at {model_server.address}"
            + (" (embedded, for this run)" if model_server.embedded else "")
            + f"; version {version}: {decision.action}, {decision.reason}",
            "version": stable,
            "decision": decision.action,
            "reason": decision.reason,
            "canary requests": decision.requests,
            "comparison": dg.MetadataValue.json([asdict(finding) for finding in decision.findings]),
            "loaded versions": dg.MetadataValue.json(list(config.versions)),
            "labels": dg.MetadataValue.json(dict(config.labels)),
            "configuration": str(settings.models_config),
            **({"deleted versions": dg.MetadataValue.json(gone)} if gone else {}),
        }
    )
