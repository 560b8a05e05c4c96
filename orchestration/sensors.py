"""What starts runs: raw files that landed, a champion that moved, tables older than their parents."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from jobs.pipeline import ingest, judge, publish
from lakehouse import delta_log
from lakehouse.ingest import read_ledger
from lakehouse.ingest_days import spans
from lakehouse.settings import Settings, get_settings
from lakehouse.storage import storage_for
from lakehouse.tables.bronze import FILES
from orchestration.landing import Batch, batches, key_of, new_files, step
from orchestration.plan import with_partition
from orchestration.runner import RANGE_END, RANGE_START
from orchestration.unfinished import unfinished_days

BATCH = "soundlake/batch"
ATTEMPTS = 3
"""Runs for the same files; after that many failures they wait until one of them changes or another joins them."""

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    job=ingest,
    minimum_interval_seconds=60,
    description="New or changed raw files, and days that a killed run left undone: one run for each span of days.",
)
def raw_files(context: dg.SensorEvaluationContext, s3: dg.ResourceParam[Any]):
    settings = get_settings()
    if _runs(context, filters=dg.RunsFilter(job_name=ingest.name, statuses=UNDER_WAY)):
        return dg.SkipReason("A run of `ingest` is under way; what it leaves is looked for after it.")
    storage = storage_for(settings.lake, settings.s3, None if settings.lake_is_local else s3.get_client())
    found = step(storage, context.cursor or "")
    warn = context.log.warning
    new = with_partition(new_files(found.entries, read_ledger(settings), warn), warn)
    requests = _requests(context, [*batches(new), *_unfinished(context, settings)])
    if requests:
        return dg.SensorResult(requests, cursor=found.cursor)
    if new:
        reason = (
            f"{len(new)} raw files were tried {ATTEMPTS} times: see their failed runs; a change of a file tries again."
        )
    elif found.cursor or context.cursor:
        reason = f"The ledger has every raw file of this step; the next goes on behind {found.cursor or 'the start'}."
    else:
        reason = "The ledger has every raw file."
    return dg.SensorResult(skip_reason=reason, cursor=found.cursor)


def _unfinished(context: dg.SensorEvaluationContext, settings: Settings) -> list[Batch]:
    """Days that are in the ledger and whose facts a kill or a failed check kept back."""
    from orchestration.definitions import defs

    table = delta_log.open_table(settings, FILES)
    if table is None:
        return []
    version = table.version()
    found = spans(unfinished_days(defs, settings, context.instance))
    return [Batch(days, 0, key_of(["unfinished", f"ledger {version}", *map(str, days)])) for days in found]


def _requests(context: dg.SensorEvaluationContext, wanted: Iterable[Batch]) -> list[dg.RunRequest]:
    """A run each; one whose runs failed is asked for again, up to ATTEMPTS times."""
    requests = []
    for batch in wanted:
        attempt = len(_runs(context, filters=dg.RunsFilter(tags={BATCH: batch.key}))) + 1
        if attempt <= ATTEMPTS:
            days = {RANGE_START: batch.days[0].isoformat(), RANGE_END: batch.days[1].isoformat()}
            tags = {**days, "soundlake/files": str(batch.files), BATCH: batch.key}
            requests.append(dg.RunRequest(run_key=f"{batch.key}-{attempt}", tags=tags))
    return requests


def _runs(context: dg.SensorEvaluationContext, filters: dg.RunsFilter) -> list[str]:
    return context.instance.get_run_ids(filters=filters, limit=ATTEMPTS + 1)


@dg.sensor(
    job=publish,
    minimum_interval_seconds=60,
    description="The alias `champion` in MLflow points to another version than the one served: publish it.",
)
def new_champion(context: dg.SensorEvaluationContext):
    from models.registry import CHAMPION, aliased_version
    from serving.config import get_model, load_server_config
    from serving.rollout import Rollout

    settings = get_settings()
    champion = aliased_version(settings.tracking_uri, settings.registered_model, CHAMPION)
    if champion is None:
        return dg.SkipReason("There is no champion yet.")
    file = settings.models_config
    served = get_model(load_server_config(file), settings.model_name) if file.exists() else None
    stable = served.labels.get("stable") if served else None
    if stable == champion:
        return dg.SkipReason(f"Version {champion} is served.")
    if Rollout.load(settings.models_dir).canary == champion:
        return dg.SkipReason(f"Version {champion} is on trial.")
    context.update_cursor(str(champion))
    return dg.RunRequest(run_key=f"champion-{champion}-after-{stable}", tags={"soundlake/champion": str(champion)})


@dg.sensor(
    job=judge,
    minimum_interval_seconds=60,
    description="A version on trial: look at its traffic, every minute, until it is promoted or rolled back.",
)
def canary(context: dg.SensorEvaluationContext):
    from serving.rollout import Rollout

    settings = get_settings()
    rollout = Rollout.load(settings.models_dir)
    if not rollout.under_way:
        return dg.SkipReason("No version is on trial.")
    if _runs(context, filters=dg.RunsFilter(job_name=judge.name, statuses=UNDER_WAY)):
        return dg.SkipReason("A run of `judge` is under way.")
    reason = _not_yet(settings, rollout)
    if reason:
        return dg.SkipReason(reason)
    looked = int(context.cursor or 0) + 1
    context.update_cursor(str(looked))
    tags = {"soundlake/canary": str(rollout.canary)}
    return dg.RunRequest(run_key=f"canary-{rollout.canary}-{rollout.opened_at}-{looked}", tags=tags)


def _not_yet(settings: Settings, rollout: Any) -> str | None:
    """Why there is nothing to judge yet: a look that costs no run. What has come since is kept."""
    from datetime import UTC, datetime, timedelta

    from serving.canary import EARLY_REQUESTS, Trial
    from serving.rollout import CANARY
    from serving.traffic import Traffic, scrape

    if datetime.now(UTC) - datetime.fromisoformat(rollout.opened_at) > timedelta(hours=settings.canary_hours):
        return None
    traffic, trial = scrape(settings.api_url), Trial.load(settings.models_dir)
    if traffic is None:
        return f"Version {rollout.canary} is on trial; no API answers at {settings.api_url}."
    if trial is None or trial.opened_at != rollout.opened_at:
        return None
    trial = trial.seen(traffic)
    trial.save(settings.models_dir)
    total = {label: trial.total.get(label, Traffic()) for label in ("stable", CANARY)}
    came, errs = int(total[CANARY].requests), total[CANARY].errors > 0
    if came >= settings.canary_requests or (came >= EARLY_REQUESTS and errs):
        return None
    return f"Version {rollout.canary} is on trial: {came} of {settings.canary_requests} requests."


keep_fresh = dg.AutomationConditionSensorDefinition(
    "keep_fresh",
    target=dg.AssetSelection.groups("silver", "gold"),
    description="Makes tables of silver and gold again when what they are made from has changed.",
)

SENSORS = [raw_files, new_champion, canary, keep_fresh]
