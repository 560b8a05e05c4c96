"""The jobs of the flow. The command line, the schedule and the sensors launch these and nothing else."""

from __future__ import annotations

import dagster as dg

from assets.describe import PARTITIONS

_FACTS = dg.AssetSelection.groups("bronze") | dg.AssetSelection.assets(
    "silver/listens", "silver/feedback", "silver/ads"
)
_TUNE = dg.AssetSelection.assets("models/tuned")
_LEARN = dg.AssetSelection.groups("models") - _TUNE
_WATCH = dg.AssetSelection.groups("quality")
_SERVE = dg.AssetSelection.groups("serving")
_TABLES = (dg.AssetSelection.groups("silver", "gold") - _FACTS) | dg.AssetSelection.groups("online")

ingest = dg.define_asset_job(
    "ingest",
    selection=_FACTS,
    partitions_def=PARTITIONS,
    description="Raw dumps of some days to bronze and to the facts of silver.",
)
refresh = dg.define_asset_job(
    "refresh",
    selection=_TABLES,
    description="Entities, sessions and gold from all facts, and the online store.",
)
train = dg.define_asset_job(
    "train", selection=_LEARN, description="Train, compare with the baselines and with the champion, promote or refuse."
)
tune = dg.define_asset_job(
    "tune",
    selection=_TUNE,
    description="Search better settings for some models, within a budget; the next training uses them.",
)
publish = dg.define_asset_job(
    "publish", selection=_SERVE, description="Bring the champion to the model server, checked before the switch."
)
drift = dg.define_asset_job(
    "drift", selection=_WATCH, description="Compare the newest day with the days the served model was trained on."
)
judge = dg.define_asset_job(
    "judge",
    selection=dg.AssetSelection.assets("serving/served_version"),
    description="Judge the version on trial by its traffic: promote it, roll it back, or wait.",
)
nightly = dg.define_asset_job(
    "nightly",
    selection=_TABLES | _WATCH | _LEARN | _SERVE,
    description="Everything after the facts: refresh, watch for drift, train, publish.",
)

JOBS = [ingest, refresh, train, tune, publish, judge, drift, nightly]
