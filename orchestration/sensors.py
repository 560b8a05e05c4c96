"""What starts runs: raw files that landed, a champion that moved, tables older than their parents."""

import hashlib

import dagster as dg

from jobs.pipeline import ingest, publish
from lakehouse.ingest import pending
from lakehouse.settings import get_settings
from orchestration.plan import pending_spans
from orchestration.runner import RANGE_END, RANGE_START


@dg.sensor(
    job=ingest,
    minimum_interval_seconds=60,
    description="New or changed raw files: one run for each span of days that they landed on.",
)
def raw_files(context: dg.SensorEvaluationContext):
    settings = get_settings()
    spans = pending_spans(settings)
    if not spans:
        return dg.SkipReason("The ledger has every raw file.")
    new = pending(settings)
    requests = []
    for first, last in spans:
        files = [f for f in new if first <= f.file.landing_date <= last]
        # the same files are offered once; a failed run is retried by its own policy, or when a file comes to them
        text = "|".join(f"{f.file.path}@{f.version}" for f in files)
        requests.append(
            dg.RunRequest(
                run_key=hashlib.sha256(text.encode()).hexdigest()[:32],
                tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat(), "soundlake/files": str(len(files))},
            )
        )
    return requests


@dg.sensor(
    job=publish,
    minimum_interval_seconds=60,
    description="The alias `champion` in MLflow points to another version than the one served: publish it.",
)
def new_champion(context: dg.SensorEvaluationContext):
    from models.registry import CHAMPION, aliased_version
    from serving.config import get_model, load_server_config

    settings = get_settings()
    champion = aliased_version(settings.tracking_uri, settings.registered_model, CHAMPION)
    if champion is None:
        return dg.SkipReason("There is no champion yet.")
    file = settings.models_config
    served = get_model(load_server_config(file), settings.model_name) if file.exists() else None
    stable = served.labels.get("stable") if served else None
    if stable == champion:
        return dg.SkipReason(f"Version {champion} is served.")
    context.update_cursor(str(champion))
    return dg.RunRequest(run_key=f"champion-{champion}-after-{stable}", tags={"soundlake/champion": str(champion)})


keep_fresh = dg.AutomationConditionSensorDefinition(
    "keep_fresh",
    target=dg.AssetSelection.groups("silver", "gold"),
    description="Makes tables of silver and gold again when what they are made from has changed.",
)

SENSORS = [raw_files, new_champion, keep_fresh]
